/** How many network namespaces of the machine `finwait up` has not looked into. */

import { linkOf, namesIn } from './quiet-read.ts';

/** Those that a process is in which can be seen, without our own. */
export function countOtherNamespaces(procRoot = '/proc'): number {
  const own = linkOf(`${procRoot}/self/ns/net`);
  const processes = namesIn(procRoot).filter((name) => /^\d+$/.test(name));
  const found = new Set(processes.map((pid) => linkOf(`${procRoot}/${pid}/ns/net`)));
  found.delete('');
  found.delete(own);
  return found.size;
}
