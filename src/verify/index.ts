import type { Tries } from './common.ts';
import { devices } from './devices.ts';
import { display } from './display.ts';
import { files } from './files.ts';
import { kernel } from './kernel.ts';
import { limits } from './limits.ts';
import { network } from './network.ts';
import { powers } from './powers.ts';
import { seat } from './seat.ts';
import { sound } from './sound.ts';
import { units } from './units.ts';

/** All groups of tries, in the order in which they are told. */
export const groups: Record<string, Tries> = { devices, display, sound, network, files, limits, powers, kernel, seat, units };
