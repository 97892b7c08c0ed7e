/** Whose the sockets of a network namespace are: by their inodes and control groups, else by who listens on their ports. */

import type { CgroupPods } from './cgroup-pods.ts';
import { Listeners } from './listeners.ts';
import type { Owner } from './owners.ts';
import { Owners } from './owners.ts';
import type { ProcessTable } from './processes.ts';
import * as record from './socket-record.ts';
import type { SocketStore } from './socket-store.ts';
import { WORD } from './socket-store.ts';

export class SocketAttribution {
  readonly #processes: ProcessTable;
  /** Undefined where pods are not told apart. */
  readonly #cgroups: CgroupPods | undefined;
  readonly #owners = new Owners();

  constructor(processes: ProcessTable, cgroups: CgroupPods | undefined) {
    this.#processes = processes;
    this.#cgroups = cgroups;
  }

  /** @param forEach visits the sockets, each selected in its store */
  attribute(forEach: (visit: (store: SocketStore) => void) => void): void {
    const listeners = new Listeners(this.#owners);
    forEach((store) => {
      this.#bySocket(store);
      if (record.stateOf(store) === 'LISTEN') listeners.add(store);
    });
    forEach((store) => listeners.attribute(store));
  }

  /** Of the selected socket. */
  ownerOf(store: SocketStore): Owner {
    return this.#owners.get(store.get(WORD.owner));
  }

  /** The control group of the selected socket, as the kernel tells it now. */
  noteCgroup(store: SocketStore, cgroupId: number): void {
    if (cgroupId !== 0 && this.#cgroups !== undefined)
      store.set(WORD.cgroup, this.#cgroups.numberOf(cgroupId));
  }

  /** The selected socket is another one than before. */
  forget(store: SocketStore): void {
    store.set(WORD.owner, 0);
    store.set(WORD.cgroup, 0);
    record.setAttribution(store, 'unknown');
  }

  /** Owners that nobody uses are to be let go when they are many: then a function that each socket must be shown to. */
  renumbering(): ((store: SocketStore) => void) | undefined {
    if (!this.#owners.crowded) return undefined;
    const renumber = this.#owners.renumber();
    return (store) => store.set(WORD.owner, renumber(store.get(WORD.owner)));
  }

  #bySocket(store: SocketStore): void {
    const inode = store.get(WORD.inode);
    const process = inode === 0 ? undefined : this.#processes.ownerOf(inode);
    const cgroupPod = this.#cgroups?.podAt(store.get(WORD.cgroup));
    const before = this.ownerOf(store);
    if (process !== undefined) {
      record.setAttribution(store, 'socket');
      const pod = cgroupPod ?? this.#processes.podOf(process.pid);
      if (before.process === process && before.pod === pod) return;
      const podBy = pod === undefined ? undefined : cgroupPod === undefined ? 'process' : 'cgroup';
      store.set(WORD.owner, this.#owners.numberOf({ process, pod, podBy }));
      return;
    }
    if (record.attributionOf(store) === 'socket') record.setAttribution(store, 'last-owner');
    if (cgroupPod === undefined || before.pod === cgroupPod) return;
    const owner: Owner = { process: before.process, pod: cgroupPod, podBy: 'cgroup' };
    store.set(WORD.owner, this.#owners.numberOf(owner));
  }
}
