import type { Host } from '../host.ts';
import type { Step } from '../step.ts';

/** What many kinds of steps say alike. */

/** For steps that are done anew each time. */
export const never = async (): Promise<boolean> => false;

/** For steps that another one's way back takes with it. */
export const nothing = async (): Promise<Step[]> => [];

export const absent = async ({ path }: { path: string }, host: Host): Promise<boolean> => (await host.kind(path)) === null;

export const removed = async ({ path }: { path: string }): Promise<Step[]> => [{ kind: 'remove', path }];

export const octal = (mode: number): string => mode.toString(8).padStart(4, '0');
