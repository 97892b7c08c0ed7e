/* What the C programs that speak netlink share: sockets, attributes, clocks. linux/netlink.h, netlink(7) */
#pragma once
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "common.h"

static inline double cpu_s(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static inline int open_netlink(int protocol, unsigned groups) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  struct sockaddr_nl at = {.nl_family = AF_NETLINK, .nl_groups = groups};
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0) die("netlink");
  return fd;
}

/* Appends an attribute; answers where its payload lies. */
static inline void *put(struct nlmsghdr *message, int type, const void *payload, int length) {
  struct nlattr *at = (struct nlattr *)((char *)message + NLMSG_ALIGN(message->nlmsg_len));
  at->nla_type = (uint16_t)type;
  at->nla_len = (uint16_t)(NLA_HDRLEN + length);
  if (payload != NULL) memcpy(at + 1, payload, (size_t)length);
  message->nlmsg_len = NLMSG_ALIGN(message->nlmsg_len) + NLA_ALIGN(at->nla_len);
  return at;
}

static inline void put_u8(struct nlmsghdr *message, int type, uint8_t value) { put(message, type, &value, 1); }

static inline void put_be16(struct nlmsghdr *message, int type, int value) {
  uint16_t big = htons((uint16_t)value);
  put(message, type, &big, 2);
}

static inline void put_be32(struct nlmsghdr *message, int type, uint32_t value) {
  uint32_t big = htonl(value);
  put(message, type, &big, 4);
}

static inline struct nlattr *nest(struct nlmsghdr *message, int type) {
  return put(message, type | NLA_F_NESTED, NULL, 0);
}

static inline void nest_end(struct nlmsghdr *message, struct nlattr *nested) {
  nested->nla_len = (uint16_t)((char *)message + message->nlmsg_len - (char *)nested);
}

#define EACH_ATTRIBUTE(at, from, to)                                                              \
  for (const struct nlattr *at = (const struct nlattr *)(from);                                   \
       (const char *)at + NLA_HDRLEN <= (const char *)(to) && at->nla_len >= NLA_HDRLEN &&        \
       (const char *)at + at->nla_len <= (const char *)(to);                                      \
       at = (const struct nlattr *)((const char *)at + NLA_ALIGN(at->nla_len)))

static inline int type_of(const struct nlattr *at) { return at->nla_type & NLA_TYPE_MASK; }
static inline const char *inside(const struct nlattr *at) { return (const char *)(at + 1); }
static inline const char *end_of(const struct nlattr *at) { return (const char *)at + at->nla_len; }
static inline uint32_t be32_of(const struct nlattr *at) { return ntohl(*(const uint32_t *)(at + 1)); }
static inline uint16_t be16_of(const struct nlattr *at) { return ntohs(*(const uint16_t *)(at + 1)); }
