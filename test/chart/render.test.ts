/** What the chart makes of each file of values, held against golden files that a reviewer can read. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { CHART, CI_VALUES, helm, objects, render, valuesFile } from './helm.ts';

const GOLDEN = join(import.meta.dirname, 'golden');
const UPDATE = 'FINWAIT_UPDATE_GOLDEN=1 npm test -- chart/render';
const NEEDS = ['helm'] as const;
const LIMIT = { timeoutMs: 600_000, needs: NEEDS };

/** Capabilities of each mode. Changing this is changing what people agree to: docs/security.md says why. */
const CAPABILITIES = {
  observe: ['NET_ADMIN'],
  probe: ['NET_ADMIN', 'NET_RAW'],
  inspect: ['NET_ADMIN', 'NET_RAW', 'SYS_ADMIN', 'SYS_PTRACE', 'DAC_READ_SEARCH'],
};

async function agentPod(...args: readonly string[]) {
  const agent = (await objects(...args)).find(({ kind }) => kind === 'DaemonSet');
  const pod = agent?.spec.template.spec;
  return { pod, container: pod.containers[0] };
}

/** What of the node is mounted, and whether for reading alone. */
// biome-ignore lint/suspicious/noExplicitAny: a pod as YAML has it
function fromTheNode(pod: any): Record<string, boolean | undefined> {
  const mounts: { name: string; readOnly?: boolean }[] = pod.containers[0].volumeMounts;
  return Object.fromEntries(
    pod.volumes
      .filter(({ hostPath }: { hostPath?: object }) => hostPath !== undefined)
      .map(({ name, hostPath }: { name: string; hostPath: { path: string } }) => [
        hostPath.path,
        mounts.find((mount) => mount.name === name)?.readOnly,
      ]),
  );
}

spec('chart renders', (test) => {
  for (const file of CI_VALUES) {
    test(
      `${file} passes helm lint --strict`,
      async () => {
        await helm('lint', '--strict', CHART, '--values', valuesFile(file));
      },
      LIMIT,
    );

    test(
      `${file} makes what its golden file says`,
      async () => {
        // The schemas of the kinds have tests of their own.
        const text = await render('--values', valuesFile(file), '--set', 'crds.install=false');
        const golden = join(GOLDEN, file.replace('-values', ''));
        if (process.env.FINWAIT_UPDATE_GOLDEN === '1') writeFileSync(golden, text);
        assert.ok(existsSync(golden), `${golden} is missing: ${UPDATE}`);
        assert.is(text, readFileSync(golden, 'utf8'), `to accept the difference: ${UPDATE}`);
      },
      LIMIT,
    );
  }

  for (const [mode, capabilities] of Object.entries(CAPABILITIES)) {
    test(
      `mode ${mode} has ${capabilities.join(', ')} and is not privileged`,
      async () => {
        const { pod, container } = await agentPod('--set', `agent.mode=${mode}`);
        const { securityContext, volumeMounts } = container;
        assert.equal(securityContext.capabilities, { drop: ['ALL'], add: capabilities });
        assert.is(securityContext.privileged, false);
        assert.is(securityContext.allowPrivilegeEscalation, false);
        assert.is(securityContext.readOnlyRootFilesystem, true);
        assert.is(pod.hostPID ?? false, mode === 'inspect');
        assert.is(pod.hostIPC ?? false, false);
        assert.is(pod.automountServiceAccountToken, false);
        const tun = volumeMounts.some(({ mountPath }: { mountPath: string }) => mountPath === '/dev/net/tun');
        assert.is(tun, mode !== 'observe');
        assert.equal(fromTheNode(pod), {
          ...(mode === 'observe' ? {} : { '/dev/net/tun': undefined }),
          ...(mode === 'inspect' ? { '/sys/fs/cgroup': true } : {}),
        });
      },
      LIMIT,
    );
  }

  test(
    'what mode inspect mounts of control groups can be taken away',
    async () => {
      const { pod } = await agentPod('--set', 'agent.mode=inspect,agent.hostCgroups=false');
      assert.equal(fromTheNode(pod), { '/dev/net/tun': undefined });
    },
    LIMIT,
  );

  test(
    'each value of agent.capabilities takes its capability away',
    async () => {
      const values = {
        netRaw: 'NET_RAW',
        sysAdmin: 'SYS_ADMIN',
        sysPtrace: 'SYS_PTRACE',
        dacReadSearch: 'DAC_READ_SEARCH',
      };
      for (const [value, capability] of Object.entries(values)) {
        const off = ['--set', `agent.mode=inspect,agent.capabilities.${value}=false`];
        const { add } = (await agentPod(...off)).container.securityContext.capabilities;
        assert.equal(
          add,
          CAPABILITIES.inspect.filter((name) => name !== capability),
        );
      }
      const none = ['--set', 'agent.mode=observe,agent.capabilities.netAdmin=false'];
      assert.equal((await agentPod(...none)).container.securityContext.capabilities, { drop: ['ALL'] });
    },
    LIMIT,
  );

  test(
    'no role names all kinds or all verbs, or lets anything but a Lease be created in its namespace',
    async () => {
      const rendered = await objects();
      const rules = rendered
        .filter(({ kind, metadata }) => /Role$/.test(kind) && !metadata.annotations?.['helm.sh/hook'])
        .flatMap(({ kind, rules }) => rules.map((rule: object) => ({ kind, ...rule })));
      assert.ok(rules.length > 8);
      for (const { kind, apiGroups, resources, verbs, resourceNames } of rules) {
        for (const list of [apiGroups, resources, verbs]) assert.not(list.includes('*'));
        if (kind === 'Role' && verbs.includes('create')) {
          assert.equal({ resources, verbs }, { resources: ['leases'], verbs: ['create'] });
        } else if (kind === 'Role') {
          assert.ok(resourceNames.length > 0);
        }
        if (resources.includes('secrets')) assert.equal(resourceNames, ['finwait-tls']);
      }
      const bound = rendered
        .filter(({ kind, metadata }) => /Binding$/.test(kind) && !metadata.annotations?.['helm.sh/hook'])
        .flatMap(({ subjects }) => subjects);
      assert.ok(bound.length > 0);
      for (const { name } of bound) assert.is(name, 'finwait-operator', 'the agent is bound to no role');
    },
    LIMIT,
  );

  test(
    'kinds that people write outlive the release unless crds.keep is false; the others go with it',
    async () => {
      const kept = async (...args: string[]) =>
        (await objects(...args))
          .filter(({ kind }) => kind === 'CustomResourceDefinition')
          .filter(({ metadata }) => metadata.annotations?.['helm.sh/resource-policy'] === 'keep')
          .map(({ spec: { names } }) => names.kind)
          .sort();
      assert.equal(await kept(), ['DiagnosisPolicy', 'HandshakeProbe']);
      assert.equal(await kept('--set', 'crds.keep=false'), []);
      const without = await objects('--set', 'crds.install=false');
      assert.not(without.some(({ kind }) => kind === 'CustomResourceDefinition'));
    },
    LIMIT,
  );
});
