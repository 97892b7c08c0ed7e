/*
 * A reader of the kernel's TCP sockets as one would write it in C: both families, with tcp_info.
 * sockets STATES RUNS: a mask of 1 << state; prints {"rows", "seconds", "cpu"} of each run, a line each.
 */
#include "netlink.h"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>

enum { BUFFER = 1 << 15, ROWS = 1 << 19 };
struct row {
  struct inet_diag_msg socket;
  struct tcp_info info;
};
static char buffer[BUFFER];
static struct row *table;
static long rows;

static void keep(const struct nlmsghdr *message) {
  const struct inet_diag_msg *socket = NLMSG_DATA(message);
  struct row *row = &table[rows++ % ROWS];
  row->socket = *socket;
  EACH_ATTRIBUTE(at, socket + 1, (const char *)message + message->nlmsg_len) {
    size_t length = (size_t)at->nla_len - NLA_HDRLEN;
    if (type_of(at) == INET_DIAG_INFO) memcpy(&row->info, at + 1, length < sizeof row->info ? length : sizeof row->info);
  }
}

static void dump(int fd, int family, unsigned states) {
  struct {
    struct nlmsghdr head;
    struct inet_diag_req_v2 body;
  } request = {{sizeof request, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
               {.sdiag_family = (uint8_t)family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = states,
                .idiag_ext = 1 << (INET_DIAG_INFO - 1)}};
  if (send(fd, &request, sizeof request, 0) < 0) die("send");
  for (;;) {
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0) die("recv");
    int left = (int)got;
    for (const struct nlmsghdr *m = (const struct nlmsghdr *)buffer; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
      if (m->nlmsg_type == NLMSG_DONE) return;
      if (m->nlmsg_type == NLMSG_ERROR) die("sock_diag");
      keep(m);
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  unsigned states = (unsigned)strtoul(argv[1], NULL, 0);
  if ((table = calloc(ROWS, sizeof *table)) == NULL) die("calloc");
  for (int left = atoi(argv[2]); left > 0; left--) {
    rows = 0;
    double start = now_s(), cpu = cpu_s();
    int fd = open_netlink(NETLINK_SOCK_DIAG, 0);
    dump(fd, AF_INET, states);
    dump(fd, AF_INET6, states);
    close(fd);
    printf("{\"rows\":%ld,\"seconds\":%.4f,\"cpu\":%.4f}\n", rows, now_s() - start, cpu_s() - cpu);
  }
  return 0;
}
