import { Complaint } from '../errors.ts';
import { socketOf } from '../displays.ts';
import { openDisplay } from '../host/displays.ts';
import { overwrite } from '../host/files.ts';
import { readState } from '../host/session.ts';
import { encodePng } from '../png.ts';
import { screenshot as take } from '../x11.ts';

/** Writes what a running machine shows on its own display, as PNG. */
export default async function screenshot([name, path, ...more]: string[]): Promise<number> {
  if (!name || !path || more.length > 0) throw new Complaint('which machine, and where to?', 'nestbox screenshot NAME FILE.png');
  const state = readState(name);
  if (!state) throw new Complaint(`the machine '${name}' does not run`, 'nestbox list shows those that do');
  if (!state.display) throw new Complaint(`the machine '${name}' has no display of its own`, 'display = "nested" or display = "headless"');
  const x = await openDisplay(socketOf(state.display.number), state.display.number, state.display.key);
  try {
    await overwrite(path, encodePng(await take(x)));
  } finally {
    x.close();
  }
  return 0;
}
