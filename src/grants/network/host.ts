import * as v from 'valibot';
import { defineGrant } from '../../grant.ts';

export default defineGrant({
  summary: "the host's own network",
  options: v.strictObject({}),
  needs: () => [],
  edits: () => ({ network: { kind: 'host' } }),
  exposes: () => [{ risk: 'high', what: 'programs inside reach all that listens on this host, also on loopback and on abstract sockets (X, D-Bus), and can listen in its name' }],
});
