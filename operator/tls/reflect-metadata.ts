/**
 * The four functions of the proposed Reflect metadata API that the certificate library's dependency container
 * asks for when it loads (https://rbuckton.github.io/reflect-metadata/). Import this file before the library.
 */

const metadata = new WeakMap<object, Map<unknown, unknown>>();

const additions = {
  defineMetadata(key: unknown, value: unknown, target: object): void {
    const own = metadata.get(target) ?? new Map<unknown, unknown>();
    metadata.set(target, own.set(key, value));
  },
  getOwnMetadata(key: unknown, target: object): unknown {
    return metadata.get(target)?.get(key);
  },
  getMetadata(key: unknown, target: object): unknown {
    for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at) as object | null) {
      const own = metadata.get(at);
      if (own?.has(key)) return own.get(key);
    }
    return undefined;
  },
  metadata(key: unknown, value: unknown): (target: object) => void {
    return (target) => additions.defineMetadata(key, value, target);
  },
};

if (!('getMetadata' in Reflect)) Object.assign(Reflect, additions);
