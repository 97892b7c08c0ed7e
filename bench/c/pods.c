/*
 * Network namespaces as pods have them, each with a process, a listener and connections over its loopback, until its
 * standard input ends. pods NAMESPACES CONNECTIONS. Prints the ids of the processes, in one line.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "wire.h"

static void loopback_up(void) {
  struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0) die("lo");
  close(fd);
}

static void pod(pid_t parent, int connections, int done) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) exit(0); /* It was gone before. */
  if (unshare(CLONE_NEWNET) < 0) die("unshare");
  loopback_up();
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 64) < 0) die("listen");
  getsockname(listener, (struct sockaddr *)&at, &length);
  for (int n = 0; n < connections; n++) {
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr *)&at, sizeof at) < 0 || accept(listener, NULL, NULL) < 0) die("connect");
  }
  if (write(done, "", 1) != 1) die("write");
  for (;;) pause();
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int pods = atoi(argv[1]), done[2];
  pid_t parent = getpid();
  char byte;
  if (pipe(done) < 0) die("pipe");
  for (int n = 0; n < pods; n++) {
    pid_t child = fork();
    if (child == 0) pod(parent, atoi(argv[2]), done[1]);
    printf("%d ", child);
    fflush(stdout);
  }
  close(done[1]);
  for (int n = 0; n < pods; n++)
    if (read(done[0], &byte, 1) != 1) return 1;
  puts("");
  fflush(stdout);
  while (read(0, &byte, 1) > 0);
  return 0;
}
