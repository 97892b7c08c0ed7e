/*
 * A server on the kernel's own TCP. `close`: accepts and closes at once. `sink`: reads all there is. `source`: writes
 * BYTES, then closes. One connection at a time; ends with its standard input.
 * server ADDRESS PORT close|sink|source [BYTES]
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "wire.h"

static char buffer[1 << 18];

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &at.sin_addr);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0) die("bind");
  if (listen(listener, 65535) < 0) die("listen");
  puts("ready");
  fflush(stdout);
  struct pollfd waited[2] = {{listener, POLLIN, 0}, {0, POLLIN, 0}};
  for (;;) {
    if (poll(waited, 2, -1) < 0) die("poll");
    if (waited[1].revents) return 0;
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    if (argv[3][1] == 'i') while (read(fd, buffer, sizeof buffer) > 0);
    if (argv[3][1] == 'o') {
      long left = atol(argv[4]);
      while (left > 0) {
        ssize_t put = send(fd, buffer, left < (long)sizeof buffer ? (size_t)left : sizeof buffer, MSG_NOSIGNAL);
        if (put <= 0) break;
        left -= put;
      }
    }
    close(fd);
  }
}
