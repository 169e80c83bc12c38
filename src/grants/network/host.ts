import * as v from 'valibot';
import { defineGrant } from '../../grant.ts';
import { onHostNetwork } from '../../ports.ts';

export default defineGrant({
  summary: "the host's own network",
  options: v.strictObject({}),
  needs: () => [],
  edits: () => ({ network: { kind: 'host' } }),
  exposes: () => [{ ...onHostNetwork, smaller: { say: 'network = "private"', loses: "the host's own addresses and loopback; ports = [...] lets the machine be reached" } }],
});
