/* A flow of conntrack out of a ctnetlink message: what a monitor in C would keep. */
#pragma once
#include "netlink.h"

struct flow {
  uint8_t source[2][16], destination[2][16];
  uint16_t source_port[2], destination_port[2], zone;
  uint32_t status, mark, timeout;
  uint8_t family, protocol, state, flags[2];
  uint64_t packets[2], bytes[2], start;
};

static inline uint64_t be64_of(const struct nlattr *at) {
  return (uint64_t)be32_of(at) << 32 | ntohl(((const uint32_t *)(at + 1))[1]);
}

static inline void read_tuple(struct flow *flow, int way, const struct nlattr *tuple) {
  EACH_ATTRIBUTE(part, inside(tuple), end_of(tuple)) {
    if (type_of(part) == CTA_TUPLE_IP) {
      EACH_ATTRIBUTE(at, inside(part), end_of(part)) {
        size_t length = (size_t)(at->nla_len - NLA_HDRLEN) & 31;
        if (type_of(at) == CTA_IP_V4_SRC || type_of(at) == CTA_IP_V6_SRC)
          memcpy(flow->source[way], at + 1, length > 16 ? 16 : length);
        else
          memcpy(flow->destination[way], at + 1, length > 16 ? 16 : length);
      }
    } else if (type_of(part) == CTA_TUPLE_PROTO) {
      EACH_ATTRIBUTE(at, inside(part), end_of(part)) {
        if (type_of(at) == CTA_PROTO_NUM) flow->protocol = *(const uint8_t *)(at + 1);
        if (type_of(at) == CTA_PROTO_SRC_PORT) flow->source_port[way] = be16_of(at);
        if (type_of(at) == CTA_PROTO_DST_PORT) flow->destination_port[way] = be16_of(at);
      }
    }
  }
}

static inline void read_counters(struct flow *flow, int way, const struct nlattr *counters) {
  EACH_ATTRIBUTE(at, inside(counters), end_of(counters)) {
    if (type_of(at) == CTA_COUNTERS_PACKETS) flow->packets[way] = be64_of(at);
    if (type_of(at) == CTA_COUNTERS_BYTES) flow->bytes[way] = be64_of(at);
  }
}

static inline void read_protocol(struct flow *flow, const struct nlattr *info) {
  EACH_ATTRIBUTE(tcp, inside(info), end_of(info)) {
    if (type_of(tcp) != CTA_PROTOINFO_TCP) continue;
    EACH_ATTRIBUTE(at, inside(tcp), end_of(tcp)) {
      const uint8_t *byte = (const uint8_t *)(at + 1);
      if (type_of(at) == CTA_PROTOINFO_TCP_STATE) flow->state = *byte;
      if (type_of(at) == CTA_PROTOINFO_TCP_FLAGS_ORIGINAL) flow->flags[0] = *byte;
      if (type_of(at) == CTA_PROTOINFO_TCP_FLAGS_REPLY) flow->flags[1] = *byte;
    }
  }
}

static inline void read_flow(struct flow *flow, const struct nlmsghdr *message) {
  const struct nfgenmsg *head = NLMSG_DATA(message);
  memset(flow, 0, sizeof *flow);
  flow->family = head->nfgen_family;
  EACH_ATTRIBUTE(at, head + 1, (const char *)message + message->nlmsg_len) {
    switch (type_of(at)) {
      case CTA_TUPLE_ORIG: read_tuple(flow, 0, at); break;
      case CTA_TUPLE_REPLY: read_tuple(flow, 1, at); break;
      case CTA_PROTOINFO: read_protocol(flow, at); break;
      case CTA_STATUS: flow->status = be32_of(at); break;
      case CTA_TIMEOUT: flow->timeout = be32_of(at); break;
      case CTA_MARK: flow->mark = be32_of(at); break;
      case CTA_ZONE: flow->zone = be16_of(at); break;
      case CTA_COUNTERS_ORIG: read_counters(flow, 0, at); break;
      case CTA_COUNTERS_REPLY: read_counters(flow, 1, at); break;
    }
  }
}
