import type { Cancellable, KubeClient } from './client.ts';

/** The same client, whose requests all end at the latest when the signal does. */
export function untilAborted(client: KubeClient, ending: AbortSignal): KubeClient {
  const own = <O extends Cancellable>(options?: O): O & Cancellable => {
    const signal = options?.signal === undefined ? ending : AbortSignal.any([ending, options.signal]);
    return { ...options, signal } as O & Cancellable;
  };
  return {
    ...client,
    get: (resource, namespace, name, options) => client.get(resource, namespace, name, own(options)),
    list: (resource, options) => client.list(resource, own(options)),
    watch: (resource, options) => client.watch(resource, own(options)),
    create: (resource, object, options) => client.create(resource, object, own(options)),
    update: (resource, object, options) => client.update(resource, object, own(options)),
    patch: (resource, namespace, name, patch, options) =>
      client.patch(resource, namespace, name, patch, own(options)),
    apply: (resource, object, options) => client.apply(resource, object, own(options)),
    delete: (resource, namespace, name, options) => client.delete(resource, namespace, name, own(options)),
  };
}
