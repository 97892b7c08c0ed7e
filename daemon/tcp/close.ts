/** Which state follows once a FIN is acknowledged or received. RFC 9293 sections 3.6 and 3.10.7.4 */

import type { SynchronizedState } from './states.ts';

export type AfterSegment = SynchronizedState['name'] | 'CLOSED';

export function afterSegment(
  state: SynchronizedState['name'],
  ourFinAcked: boolean,
  peerFinished: boolean,
): AfterSegment {
  switch (state) {
    case 'ESTABLISHED':
      return peerFinished ? 'CLOSE-WAIT' : 'ESTABLISHED';
    case 'FIN-WAIT-1':
      // "If our FIN has now been acknowledged, then enter TIME-WAIT ...; otherwise, enter the CLOSING state."
      if (peerFinished) return ourFinAcked ? 'TIME-WAIT' : 'CLOSING';
      return ourFinAcked ? 'FIN-WAIT-2' : 'FIN-WAIT-1';
    case 'FIN-WAIT-2':
      return peerFinished ? 'TIME-WAIT' : 'FIN-WAIT-2';
    case 'CLOSING':
      return ourFinAcked ? 'TIME-WAIT' : 'CLOSING';
    case 'LAST-ACK':
      return ourFinAcked ? 'CLOSED' : 'LAST-ACK';
    case 'CLOSE-WAIT':
    case 'TIME-WAIT':
      return state;
  }
}
