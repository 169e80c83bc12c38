/** Where nestbox keeps things: what outlives a boot, and what does not. */
export const store = {
  base: '/var/lib/nestbox',
  /** What machines are made from, built once; root's alone, as there are set-user-id programs in there. */
  templates: '/var/lib/nestbox/templates',
  template: (key: string): string => `/var/lib/nestbox/templates/${key}/root`,
  machines: '/var/lib/nestbox/machines',
  machine: (name: string): string => `/var/lib/nestbox/machines/${name}`,
  /** Changes of machines that throw them away. */
  scratches: '/var/lib/nestbox/scratch',
  scratch: (name: string): string => `/var/lib/nestbox/scratch/${name}`,
  /** What files lose with their owner, while these are being changed. The dot keeps it apart from what belongs to a machine of that name. */
  owners: (session: string): string => `/var/lib/nestbox/scratch/${session}.owners`,
  /** The ways back of a root whose mounts stay on the host after a run. */
  kept: (name: string): string => `/var/lib/nestbox/scratch/${name}.kept`,
  journals: '/var/lib/nestbox/journal',
  journal: (name: string): string => `/var/lib/nestbox/journal/${name}`,
  /** What systemd runs: the ways back of start and enable, and the files that are put in place at each start. */
  services: '/var/lib/nestbox/services',
  service: (name: string): string => `/var/lib/nestbox/services/${name}`,
  undoOfService: (name: string): string => `/var/lib/nestbox/services/${name}/undo`,
  endsOfService: (name: string): string => `/var/lib/nestbox/services/${name}/ends`,
  /** System call filters that systemd-nspawn has made once, a file for each set of options; they are made anew where they are not there. */
  filters: '/var/cache/nestbox/filters',
  /** Packages and lists of them that apt has fetched for Debian roots; apt itself says whether they are good still. */
  fetched: '/var/cache/nestbox/packages',
  runs: '/run/nestbox',
  run: (name: string): string => `/run/nestbox/${name}`,
  /** The first of the ids that its machine has, while no record says so: native/create.c. */
  ids: (name: string): string => `/run/nestbox/${name}/ids`,
  /** The same for one that systemd runs: there as long as its units want it. */
  serviceRun: (name: string): string => `/run/nestbox-services/${name}`,
  /** The way back of nestbox image mount; it ends with the boot, as what it is for does. */
  mountOfImage: (session: string): string => `/run/nestbox-images/${session}`,
  /** Where LXC's programs and its unit look for containers. */
  lxc: '/var/lib/lxc',
  /** What the seats of machines that run have of the host's input: native/seats.c. */
  seats: '/run/nestbox-seats',
  /** Machine files that commands take by name. */
  files: '/etc/nestbox',
};
