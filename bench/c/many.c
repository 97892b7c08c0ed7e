/*
 * Makes TCP sockets in one state over the loopback, in the network namespace it runs in, and keeps them until its standard
 * input ends. many time-wait|close-wait COUNT. Prints {"made"}. So many processes hold them as the limit of open files
 * demands, each from an address 127.0.0.N of its own.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "wire.h"

enum { FROM_EACH = 20000, OTHER_FILES = 32, FIRST_PORT = 20000 };

static int listener(struct sockaddr_in *at) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  socklen_t length = sizeof *at;
  *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(fd, (struct sockaddr *)at, sizeof *at) < 0 || listen(fd, 64) < 0) die("listen");
  getsockname(fd, (struct sockaddr *)at, &length);
  return fd;
}

/* One process's part; it says so on `done`. */
static void hold(int closes, int count, int number, int done) {
  struct sockaddr_in to, from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl((127u << 24) + 2 + (uint32_t)number)};
  int fd = listener(&to);
  for (int n = 0; n < count; n++) {
    /* No port twice: the kernel takes that of a client that is gone for free, and a second one would end the first's peer. */
    from.sin_port = htons((uint16_t)(FIRST_PORT + n));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (client < 0 || bind(client, (struct sockaddr *)&from, sizeof from) < 0) die("bind");
    if (connect(client, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
    int accepted = accept(fd, NULL, NULL);
    if (accepted < 0) die("accept");
    close(client);
    if (closes) close(accepted);
  }
  if (write(done, "", 1) != 1) die("write");
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int closes = argv[1][0] == 't', count = atoi(argv[2]), done[2], processes = 0;
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int most = FROM_EACH;
  if (files.rlim_max < FROM_EACH + OTHER_FILES) most = (int)files.rlim_max - OTHER_FILES;
  pid_t parent = getpid();
  if (pipe(done) < 0) die("pipe");
  for (int left = count; left > 0; left -= most, processes++) {
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) return 0; /* It was gone before. */
    hold(closes, left < most ? left : most, processes, done[1]);
    for (;;) pause();
  }
  close(done[1]);
  char byte;
  for (int n = 0; n < processes; n++)
    if (read(done[0], &byte, 1) != 1) return 1;
  printf("{\"made\":%d}\n", count);
  fflush(stdout);
  while (read(0, &byte, 1) > 0);
  return 0;
}
