/*
 * A bare responder on a TUN device: answers SYN with SYN,ACK and FIN with FIN,ACK out of what the segment itself
 * says, and remembers nothing. What the least that a TCP server does on the wire costs.
 * responder DEVICE SECONDS
 */
#include <poll.h>

#include "wire.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int fd = open_tun(argv[1], O_NONBLOCK);
  double until = now_s() + atof(argv[2]);
  puts("ready");
  fflush(stdout);
  uint8_t in[65536], out[44];
  memset(out, 0, sizeof out);
  out[0] = 0x45, out[6] = 0x40, out[8] = 64, out[9] = 6;
  for (;;) {
    ssize_t length = read(fd, in, sizeof in);
    if (length < 0) {
      if (errno != EAGAIN) die("read");
      struct pollfd waited = {fd, POLLIN, 0};
      poll(&waited, 1, 100);
      if (now_s() > until) return 0;
      continue;
    }
    if (length < 40 || in[0] != 0x45 || in[9] != 6) continue;
    const uint8_t *tcp = in + 20;
    int flags = tcp[13], text = (int)length - 20 - (tcp[12] >> 4) * 4;
    if (fold(sum16(sum16(0, in + 12, 8) + 6 + (uint32_t)(length - 20), tcp, (int)length - 20))) continue;
    int syn = flags & SYN, fin = flags & FIN;
    if ((flags & RST) || !(syn || fin || text > 0)) continue;
    int bytes = syn ? 44 : 40;
    memcpy(out + 12, in + 16, 4);
    memcpy(out + 16, in + 12, 4);
    memcpy(out + 20, tcp + 2, 2);
    memcpy(out + 22, tcp, 2);
    put32(out + 24, syn ? 0x12345678 : get32(tcp + 8));
    put32(out + 28, get32(tcp + 4) + (uint32_t)text + (syn || fin ? 1 : 0));
    out[32] = (uint8_t)((bytes - 20) / 4 << 4);
    out[33] = (uint8_t)(ACK | (syn ? SYN : 0) | (fin ? FIN : 0));
    put16(out + 34, 0xffff);
    if (syn) out[40] = 2, out[41] = 4, put16(out + 42, 1460);
    seal(out, bytes);
    if (write(fd, out, (size_t)bytes) < 0 && errno != EAGAIN && errno != EINVAL) die("write");
  }
}
