/*
 * Makes flows in conntrack through ctnetlink, in the network namespace it runs in.
 * flows make FROM TO: flows with these numbers in mixed states; a fifth looks as NAT makes them. Prints {"made"}.
 * flows live PER_SECOND LIVES KEEP: so many lives of flows at that many events a second (0: as fast as it can): each begins
 *   as SYN_SENT, is ESTABLISHED, then in TIME_WAIT, then deleted, but for every KEEPth, which stays (0: none). A life begins
 *   before the one before it has ended. Prints {"lives", "kept", "events", "seconds"}.
 */
#include "netlink.h"

enum { PORTS = 50000, ROOM = 1 << 15, UNDER_WAY = 64 };
static char batch[ROOM];
static int filled, fd;
static long sent;

static void flush(void) {
  if (filled > 0 && send(fd, batch, (size_t)filled, 0) < 0) die("send");
  filled = 0;
  char answer[4096];
  ssize_t got;
  while ((got = recv(fd, answer, sizeof answer, MSG_DONTWAIT)) > 0) {
    const struct nlmsghdr *message = (const struct nlmsghdr *)answer;
    const struct nlmsgerr *error = NLMSG_DATA(message);
    if (message->nlmsg_type != NLMSG_ERROR || error->error == 0) continue;
    errno = -error->error;
    die("ctnetlink");
  }
}

static void put_tuple(struct nlmsghdr *message, int type, uint32_t from, int from_port, uint32_t to, int to_port) {
  struct nlattr *tuple = nest(message, type);
  struct nlattr *part = nest(message, CTA_TUPLE_IP);
  put_be32(message, CTA_IP_V4_SRC, from);
  put_be32(message, CTA_IP_V4_DST, to);
  nest_end(message, part);
  part = nest(message, CTA_TUPLE_PROTO);
  put_u8(message, CTA_PROTO_NUM, IPPROTO_TCP);
  put_be16(message, CTA_PROTO_SRC_PORT, from_port);
  put_be16(message, CTA_PROTO_DST_PORT, to_port);
  nest_end(message, part);
  nest_end(message, tuple);
}

/* 10.0.0.0/8 from a port of its own, to 10.200.0.1:443, or to a service that NAT sends to 10.201.0.0/16. */
static void flow(int what, int flags, long number, int state) {
  if (filled + 512 > ROOM) flush();
  struct nlmsghdr *message = (struct nlmsghdr *)(batch + filled);
  struct nfgenmsg head = {.nfgen_family = AF_INET};
  memset(message, 0, sizeof *message);
  message->nlmsg_len = NLMSG_LENGTH(sizeof head);
  message->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | what);
  message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
  memcpy(NLMSG_DATA(message), &head, sizeof head);
  uint32_t from = (10u << 24) + 1 + (uint32_t)(number / PORTS);
  int port = 1024 + (int)(number % PORTS), nat = number % 5 == 0;
  uint32_t to = (10u << 24) + (200u << 16) + 1, real = nat ? (10u << 24) + (201u << 16) + (uint32_t)(number % 199) : to;
  put_tuple(message, CTA_TUPLE_ORIG, from, port, to, 443);
  if (what == IPCTNL_MSG_CT_NEW) {
    put_tuple(message, CTA_TUPLE_REPLY, real, nat ? 8443 : 443, from, port);
    put_be32(message, CTA_TIMEOUT, 86400);
    if (flags != 0) put_be32(message, CTA_STATUS, IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED);
    struct nlattr *info = nest(message, CTA_PROTOINFO), *tcp = nest(message, CTA_PROTOINFO_TCP);
    put_u8(message, CTA_PROTOINFO_TCP_STATE, (uint8_t)state);
    nest_end(message, tcp);
    nest_end(message, info);
  }
  filled += NLMSG_ALIGN(message->nlmsg_len);
  sent++;
}

static void make(long from, long to) {
  static const int states[] = {TCP_CONNTRACK_ESTABLISHED, TCP_CONNTRACK_TIME_WAIT, TCP_CONNTRACK_CLOSE_WAIT,
                               TCP_CONNTRACK_SYN_SENT, TCP_CONNTRACK_FIN_WAIT};
  for (long n = from; n < to; n++) flow(IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, n, states[n / 5 % 5]);
  flush();
  printf("{\"made\":%ld}\n", to - from);
}

static void live(double pace, long lives, long keep) {
  double start = now_s();
  long kept = 0;
  for (long now = 0; now < lives + UNDER_WAY;) {
    if (pace > 0 && (double)sent > (now_s() - start) * pace) {
      flush();
      struct timespec nap = {0, 200000};
      nanosleep(&nap, NULL);
      continue;
    }
    long opened = now - UNDER_WAY / 2, closed = now - UNDER_WAY;
    if (now < lives) flow(IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, now, TCP_CONNTRACK_SYN_SENT);
    if (opened >= 0 && opened < lives) flow(IPCTNL_MSG_CT_NEW, 0, opened, TCP_CONNTRACK_ESTABLISHED);
    if (closed >= 0) {
      flow(IPCTNL_MSG_CT_NEW, 0, closed, TCP_CONNTRACK_TIME_WAIT);
      if (keep > 0 && closed % keep == 0) kept++;
      else flow(IPCTNL_MSG_CT_DELETE, 0, closed, 0);
    }
    now++;
  }
  flush();
  printf("{\"lives\":%ld,\"kept\":%ld,\"events\":%ld,\"seconds\":%.3f}\n", lives, kept, sent, now_s() - start);
}

int main(int argc, char **argv) {
  fd = open_netlink(NETLINK_NETFILTER, 0);
  if (argc == 4 && strcmp(argv[1], "make") == 0) make(atol(argv[2]), atol(argv[3]));
  else if (argc == 5 && strcmp(argv[1], "live") == 0) live(atof(argv[2]), atol(argv[3]), atol(argv[4]));
  else return 2;
  return 0;
}
