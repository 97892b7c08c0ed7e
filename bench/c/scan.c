/*
 * Half-open probes by raw sockets: sends SYNs, reads the answers, at most 256 unanswered. The kernel, which knows
 * nothing of them, resets what is answered.
 * scan ADDRESS PORT SECONDS; prints {"sent", "answered", "seconds"}
 */
#include <netinet/in.h>
#include <sys/socket.h>

#include "wire.h"

enum { AT_ONCE = 256 };

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int out = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), in = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_TCP);
  int buffer = 1 << 24, port = atoi(argv[2]);
  if (out < 0 || in < 0) die("socket");
  setsockopt(in, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  struct sockaddr_in to = {.sin_family = AF_INET};
  inet_pton(AF_INET, argv[1], &to.sin_addr);
  uint8_t packet[44], answer[2048];
  memset(packet, 0, sizeof packet);
  packet[0] = 0x45, packet[8] = 64, packet[9] = 6;
  memcpy(packet + 12, &to.sin_addr, 4);
  memcpy(packet + 16, &to.sin_addr, 4);
  put16(packet + 22, (uint16_t)port);
  packet[32] = 6 << 4, packet[33] = 2, packet[40] = 2, packet[41] = 4;
  put16(packet + 34, 0xffff);
  put16(packet + 42, 1460);
  long sent = 0, answered = 0, lost = 0;
  double start = now_s(), end = start + atof(argv[3]), last = start, now;
  while ((now = now_s()) < end) {
    while (sent - answered - lost < AT_ONCE) {
      put16(packet + 20, (uint16_t)(1024 + sent % 60000));
      put32(packet + 24, (uint32_t)(sent * 2654435761u));
      seal(packet, 44);
      if (sendto(out, packet, 44, 0, (struct sockaddr *)&to, sizeof to) < 0) break;
      sent++;
    }
    ssize_t length;
    while ((length = recv(in, answer, sizeof answer, 0)) > 0)
      if (length >= 40 && answer[33] == 18 && (answer[20] << 8 | answer[21]) == port) answered++, last = now;
    /* Answers that were lost are not waited for. */
    if (now - last > 0.2) lost = sent - answered, last = now;
  }
  printf("{\"sent\":%ld,\"answered\":%ld,\"seconds\":%.6f}\n", sent, answered, now_s() - start);
  return 0;
}
