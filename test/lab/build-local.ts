import { image, desktopDisk, lock } from '/work/wt/lxc/test/lab/image.ts';
const release = await lock();
console.log(await desktopDisk());
for (const host of ['bookworm', 'trixie'] as const) console.log(new Date(), await image(host));
release();
