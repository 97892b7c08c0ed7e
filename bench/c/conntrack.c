/*
 * A reader of conntrack as one would write it in C.
 * conntrack dump RUNS: reads all flows so often; prints {"rows", "seconds", "cpu"} of each run, a line each.
 * conntrack events RECEIVE_BUFFER: says `ready` and takes events from then on. At each line on its standard input it takes
 *   what there still is, and prints {"events", "lost" (how often), "cpu"} since the line before; it ends with that input.
 */
#include <poll.h>

#include "ctnetlink.h"

enum { BUFFER = 1 << 15, ROWS = 1 << 21 };
static char buffer[BUFFER];
static struct flow *flows;
static long rows;

static int take(ssize_t got) {
  int left = (int)got;
  for (const struct nlmsghdr *m = (const struct nlmsghdr *)buffer; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
    if (m->nlmsg_type == NLMSG_DONE) return 1;
    if (m->nlmsg_type == NLMSG_ERROR) die("ctnetlink");
    read_flow(&flows[rows++ % ROWS], m);
  }
  return 0;
}

static void dump(int fd) {
  struct {
    struct nlmsghdr head;
    struct nfgenmsg body;
  } request = {{sizeof request, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {0}};
  if (send(fd, &request, sizeof request, 0) < 0) die("send");
  ssize_t got;
  do {
    if ((got = recv(fd, buffer, sizeof buffer, 0)) < 0) die("recv");
  } while (!take(got));
}

static void follow(int room) {
  int fd = open_netlink(NETLINK_NETFILTER, 1 | 2 | 4);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0) die("SO_RCVBUFFORCE");
  puts("ready");
  struct pollfd waited[2] = {{fd, POLLIN, 0}, {0, POLLIN, 0}};
  long lost = 0;
  double cpu = cpu_s();
  for (;;) {
    fflush(stdout);
    if (poll(waited, 2, -1) < 0) die("poll");
    for (;;) {
      ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
      if (got >= 0) take(got);
      else if (errno == ENOBUFS) lost++;
      else if (errno == EAGAIN) break;
      else die("recv");
    }
    if (!waited[1].revents) continue;
    char line[64];
    if (read(0, line, sizeof line) <= 0) return;
    printf("{\"events\":%ld,\"lost\":%ld,\"cpu\":%.4f}\n", rows, lost, cpu_s() - cpu);
    rows = lost = 0;
    cpu = cpu_s();
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  if ((flows = calloc(ROWS, sizeof *flows)) == NULL) die("calloc");
  if (strcmp(argv[1], "events") == 0) follow(atoi(argv[2]));
  else
    for (int left = atoi(argv[2]); left > 0; left--) {
      rows = 0;
      double start = now_s(), cpu = cpu_s();
      int fd = open_netlink(NETLINK_NETFILTER, 0);
      dump(fd);
      close(fd);
      printf("{\"rows\":%ld,\"seconds\":%.4f,\"cpu\":%.4f}\n", rows, now_s() - start, cpu_s() - cpu);
    }
  return 0;
}
