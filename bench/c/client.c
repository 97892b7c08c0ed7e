/*
 * Opens connections of the kernel's own TCP and closes them: connect, shutdown, wait for the other end, close.
 * client ADDRESS PORT PORTS SECONDS AT_ONCE [PER_SECOND [IN_TIME_MS]]
 * Ports from PORT on are used in turn. At most AT_ONCE connections are open; with PER_SECOND they are begun at that
 * pace. One that is not open after IN_TIME_MS counts as failed. Prints {"begun",
 * "opened", "done", "failed", "seconds", "p50", "p99"}; the last two are milliseconds until a connection is open.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "wire.h"

enum { FDS = 65536, BUCKETS = 100000 };
static struct {
  double began;
  int open, closing;
} known[FDS];
static unsigned delays[BUCKETS + 1]; /* by 10 us */

static double percentile(double share) {
  long seen = 0, all = 0;
  for (int i = 0; i <= BUCKETS; i++) all += delays[i];
  for (int i = 0; i <= BUCKETS; i++)
    if ((seen += delays[i]) >= share * (double)all) return i / 100.0;
  return BUCKETS / 100.0;
}

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  int port = atoi(argv[2]), ports = atoi(argv[3]), most = atoi(argv[5]);
  double pace = argc > 6 ? atof(argv[6]) : 0, in_time = argc > 7 ? atof(argv[7]) / 1000 : 1e9;
  struct rlimit files = {FDS, FDS};
  setrlimit(RLIMIT_NOFILE, &files);
  int poller = epoll_create1(0), at_once = 0, next_look = 0;
  long begun = 0, done = 0, failed = 0, opened = 0;
  double start = now_s(), end = start + atof(argv[4]);
  struct epoll_event events[512];
  for (;;) {
    double now = now_s();
    if (now > end + (in_time < 1e8 ? in_time : 0.5) || (now > end && at_once == 0)) break;
    while (now < end && at_once < most && (pace == 0 || begun < (now - start) * pace)) {
      struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(port + begun % ports))};
      inet_pton(AF_INET, argv[1], &to.sin_addr);
      int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      if (fd < 0) break;
      begun++;
      if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
        failed++;
        close(fd);
        break;
      }
      known[fd].began = now, known[fd].open = 1, known[fd].closing = 0;
      struct epoll_event wanted = {.events = EPOLLOUT, .data.fd = fd};
      epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wanted);
      at_once++;
    }
    int ready = epoll_wait(poller, events, 512, at_once < most ? 1 : 10);
    now = now_s();
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd, error = 0;
      socklen_t size = sizeof error;
      if (!known[fd].open) continue;
      getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error == 0 && !known[fd].closing) {
        int bucket = (int)((now - known[fd].began) * 1e5);
        delays[bucket < BUCKETS ? bucket : BUCKETS]++;
        if (now - known[fd].began > in_time) error = ETIMEDOUT;
        else {
          opened++;
          known[fd].closing = 1;
          shutdown(fd, SHUT_WR);
          struct epoll_event wanted = {.events = EPOLLIN, .data.fd = fd};
          epoll_ctl(poller, EPOLL_CTL_MOD, fd, &wanted);
          continue;
        }
      }
      if (error) failed++;
      else done++;
      known[fd].open = 0;
      at_once--;
      close(fd);
    }
    /* The late ones are given up, some at a time. */
    if (in_time < 1e8)
      for (int i = 0; i < 1024; i++, next_look = (next_look + 1) % FDS)
        if (known[next_look].open && !known[next_look].closing && now - known[next_look].began > in_time) {
          failed++;
          known[next_look].open = 0;
          at_once--;
          close(next_look);
        }
  }
  double seconds = (now_s() < end ? now_s() : end) - start;
  printf("{\"begun\":%ld,\"opened\":%ld,\"done\":%ld,\"failed\":%ld,\"seconds\":%.6f,\"p50\":%.2f,\"p99\":%.2f}\n", begun, opened, done,
         failed + at_once, seconds, percentile(0.5), percentile(0.99));
  return 0;
}
