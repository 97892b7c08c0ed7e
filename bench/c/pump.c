/*
 * Carries packets between two TUN devices, as they are: what joins two kernels' TCPs by the devices that the engine
 * works on. Ends with its standard input.
 * pump DEVICE DEVICE
 */
#include <poll.h>

#include "wire.h"

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int fds[2] = {open_tun(argv[1], O_NONBLOCK), open_tun(argv[2], O_NONBLOCK)};
  puts("ready");
  fflush(stdout);
  uint8_t packet[65536];
  struct pollfd waited[3] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}, {0, POLLIN, 0}};
  for (;;) {
    if (poll(waited, 3, -1) < 0) die("poll");
    if (waited[2].revents) return 0;
    for (int side = 0; side < 2; side++)
      for (int i = 0; i < 256; i++) {
        ssize_t length = read(fds[side], packet, sizeof packet);
        if (length <= 0) break;
        /* A device that is not up yet refuses the packet: it is lost, as on any link. */
        if (write(fds[1 - side], packet, (size_t)length) < 0) continue;
      }
  }
}
