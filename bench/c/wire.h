/* What the C programs at a TUN device share: the device, checksums. linux/if_tun.h, RFC 1071 */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "common.h"

static inline int open_tun(const char *name, int flags) {
  int fd = open("/dev/net/tun", O_RDWR | flags);
  if (fd < 0) die("/dev/net/tun");
  struct ifreq request;
  memset(&request, 0, sizeof request);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, TUNSETIFF, &request) < 0) die("TUNSETIFF");
  return fd;
}

static inline uint32_t sum16(uint32_t sum, const uint8_t *bytes, int length) {
  for (; length > 1; length -= 2, bytes += 2) sum += (uint32_t)(bytes[0] << 8 | bytes[1]);
  return length ? sum + (uint32_t)(bytes[0] << 8) : sum;
}

static inline uint16_t fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

static inline void put16(uint8_t *at, uint16_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static inline void put32(uint8_t *at, uint32_t value) {
  put16(at, (uint16_t)(value >> 16));
  put16(at + 2, (uint16_t)value);
}

static inline uint32_t get32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Fills in both checksums of an IPv4 packet of `length` bytes that holds a TCP segment and no IP options. */
static inline void seal(uint8_t *packet, int length) {
  put16(packet + 2, (uint16_t)length);
  put16(packet + 10, 0);
  put16(packet + 10, fold(sum16(0, packet, 20)));
  put16(packet + 36, 0);
  uint32_t pseudo = sum16(0, packet + 12, 8) + 6 + (uint32_t)(length - 20);
  put16(packet + 36, fold(sum16(pseudo, packet + 20, length - 20)));
}
