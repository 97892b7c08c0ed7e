/** What a connection has moved in all, and when last; for observers. RFC 4898 */

export class Totals {
  bytesAcked = 0;
  bytesSent = 0;
  bytesRetransmitted = 0;
  bytesReceived = 0;
  segmentsOut = 0;
  segmentsIn = 0;
  lastSentUs: number | undefined;
  lastReceivedUs: number | undefined;
  lastAckUs: number | undefined;

  sent(length: number, again: boolean, nowUs: number): void {
    this.segmentsOut += 1;
    if (length === 0) return;
    this.bytesSent += length;
    if (again) this.bytesRetransmitted += length;
    this.lastSentUs = nowUs;
  }

  received(length: number, nowUs: number): void {
    this.segmentsIn += 1;
    if (length > 0) this.lastReceivedUs = nowUs;
  }

  acknowledged(octets: number, nowUs: number): void {
    this.bytesAcked += Math.max(octets, 0);
    this.lastAckUs = nowUs;
  }
}
