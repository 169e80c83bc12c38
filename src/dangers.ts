/** What a hostile program in a container could do to who owns the host: the one list of it, worst first. Grants and the rules of audit say which of these is open. */

/** contained: no more than takes of the host what all share. exposed: something of the person's is open to it. host-equivalent: it is as good as root of the host. */
export const levels = ['contained', 'exposed', 'host-equivalent'] as const;
export type Level = (typeof levels)[number];

/** `weight`: how bad it is, from 1 to 100. Those of a level are in its part of the scale: see scoreOf() of audit.ts. */
export const dangers = {
  memory: { weight: 100, does: 'write physical memory, and with it change the kernel that runs' },
  kernel: { weight: 98, does: 'run code of its own in the kernel' },
  root: { weight: 95, does: 'become root of the host' },
  disks: { weight: 92, does: 'read and change the disks of the host below their file systems' },
  session: { weight: 72, does: 'start programs on the host as you' },
  keys: { weight: 70, does: 'read every key typed on the host' },
  typing: { weight: 69, does: 'type and click on the host as you' },
  screen: { weight: 68, does: 'see the screen of the host' },
  'sound-server': { weight: 66, does: "run code as the user of the host's sound server" },
  microphone: { weight: 65, does: 'hear the microphone, and what other programs play' },
  display: { weight: 64, does: 'take over the screen of the host or of another machine' },
  services: { weight: 63, does: 'reach what listens for programs of this host alone' },
  processes: { weight: 62, does: 'look into programs of the host' },
  settings: { weight: 61, does: 'change settings that the whole host shares' },
  secrets: { weight: 60, does: 'read files and keys that are private to you' },
  files: { weight: 50, does: 'change files of the host' },
  neighbours: { weight: 45, does: 'be any computer it likes on a network of the host' },
  windows: { weight: 42, does: 'see the titles of the windows of the host' },
  driver: { weight: 26, does: 'talk straight to a driver of the kernel' },
  imitation: { weight: 25, does: 'imitate the login screen of the host' },
  reached: { weight: 24, does: 'be reached from other computers' },
  network: { weight: 22, does: 'reach the Internet and the local network' },
  disk: { weight: 18, does: 'fill the disk' },
  'all-memory': { weight: 16, does: 'use all memory' },
  'all-processes': { weight: 15, does: 'start processes until the host has room for no more' },
  cpu: { weight: 14, does: 'use all processors' },
  calls: { weight: 10, does: 'try more of the kernel than containers usually may' },
  hints: { weight: 8, does: 'learn things about the host' },
  power: { weight: 6, does: 'keep the host awake, or wake it' },
  sound: { weight: 5, does: 'make any sound, at any hour' },
  own: { weight: 4, does: "read the keys and windows of the machine's other programs" },
} as const satisfies Record<string, { weight: number; does: string }>;
export type Danger = keyof typeof dangers;

/** Where the parts of the scale end: 40 is exposed, 80 is host-equivalent. */
export const floors: Record<Level, number> = { contained: 0, exposed: 40, 'host-equivalent': 80 };

export const levelOf = (danger: Danger): Level => levels.findLast((level) => dangers[danger].weight >= floors[level])!;

/** In one word, for lists that have no room for more. */
export const riskOf = (danger: Danger): 'low' | 'medium' | 'high' => {
  const { weight } = dangers[danger];
  return weight >= 60 ? 'high' : weight >= 20 ? 'medium' : 'low';
};
