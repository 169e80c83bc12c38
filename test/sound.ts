import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

/** Recordings, and what is heard in them. */

/** What a recording holds. */
export interface Sound {
  rate: number;
  /** Of the first channel. */
  samples: number[];
}

/** A RIFF file of 16 bits: its chunks follow one another, each with its length before it. A length that was never written (all ones, or nothing) means: to the end. */
export function readWav(path: string): Sound {
  const file = readFileSync(path);
  assert.equal(`${file.toString('latin1', 0, 4)} ${file.toString('latin1', 8, 12)}`, 'RIFF WAVE');
  let format: Buffer | undefined;
  for (let at = 12; at + 8 <= file.length; ) {
    const length = file.readUInt32LE(at + 4);
    const end = Math.min(length === 0 && file.toString('latin1', at, at + 4) === 'data' ? file.length : at + 8 + length, file.length);
    const body = file.subarray(at + 8, end);
    if (file.toString('latin1', at, at + 4) === 'fmt ') format = body;
    if (file.toString('latin1', at, at + 4) === 'data') return samplesOf(body, format!.readUInt16LE(2), format!.readUInt32LE(4), format!.readUInt16LE(14));
    at = end + (end & 1);
  }
  throw new Error(`${path} has no data`);
}

export function samplesOf(data: Buffer, channels: number, rate: number, bits = 16): Sound {
  assert.equal(bits, 16);
  return { rate, samples: Array.from({ length: Math.floor(data.length / 2 / channels) }, (_, i) => data.readInt16LE(i * 2 * channels)) };
}

/** Of what is not silence: how long it is, its frequency by the times of its first and last upward crossing of zero, and how much of its energy lies there (Goertzel). */
function listen({ rate, samples }: Sound) {
  const loud = (sample: number) => Math.abs(sample) > 500;
  const heard = samples.slice(samples.findIndex(loud), samples.findLastIndex(loud) + 1);
  const upward = heard.flatMap((sample, i) => (i > 0 && heard[i - 1]! < 0 && sample >= 0 ? [i - sample / (sample - heard[i - 1]!)] : []));
  const hertz = ((upward.length - 1) * rate) / (upward.at(-1)! - upward[0]!);
  const part = heard.slice(0, rate / 2);
  const turn = (2 * Math.PI * hertz) / rate;
  let [re, im, energy] = [0, 0, 0];
  for (const [i, sample] of part.entries()) {
    re += sample * Math.cos(turn * i);
    im += sample * Math.sin(turn * i);
    energy += sample * sample;
  }
  return { seconds: heard.length / rate, hertz, purity: (2 * (re * re + im * im)) / part.length / energy, loudness: Math.sqrt(energy / part.length) };
}

export function assertTone(sound: Sound, hertz: number, seconds: number | null = 1): void {
  const heard = listen(sound);
  const told = JSON.stringify({ ...heard, whole: sound.samples.length / sound.rate });
  assert.ok(Math.abs(heard.hertz - hertz) < hertz / 100, told);
  assert.ok(heard.purity > 0.9, told);
  assert.ok(heard.loudness > 2000, told);
  if (seconds !== null) assert.ok(Math.abs(heard.seconds - seconds) < 0.1, told);
}

/** The same with pauses: what goes through several servers drops out where the computer is busy, and goes on where it was. All of it has come, and nothing else. */
export function assertPausedTone({ rate, samples }: Sound, hertz: number, seconds = 1): void {
  const joined: number[] = [];
  let quiet: number[] = [];
  for (const sample of samples) {
    quiet.push(sample);
    if (Math.abs(sample) <= 500) continue;
    joined.push(...(quiet.length < rate / 500 ? quiet : [sample])); // a tone itself is not quiet for two milliseconds
    quiet = [];
  }
  assertSomeTone({ rate, samples: joined }, hertz);
  assert.ok(Math.abs(joined.length / rate - seconds) < 0.1, `${joined.length / rate} seconds of ${samples.length / rate}`);
}

/** Waits until some of a tone is heard, `patience` ms at most: for what plays by itself. */
export async function hearTone(sound: () => Sound, hertz: number, patience: number): Promise<void> {
  for (const limit = Date.now() + patience; ; await setTimeout(200))
    try {
      return assertSomeTone(sound(), hertz);
    } catch (error) {
      if (Date.now() > limit) throw error;
    }
}

/** A file of a tone: 16 bits, one channel. */
export function wav(hertz: number, seconds: number, rate = 44100): Buffer {
  const data = Buffer.alloc(rate * seconds * 2);
  for (let i = 0; i < rate * seconds; i++) data.writeInt16LE(Math.round(16000 * Math.sin((2 * Math.PI * hertz * i) / rate)), i * 2);
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + data.length, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  for (const [value, at] of [[1, 20], [1, 22], [2, 32], [16, 34]] as const) header.writeUInt16LE(value, at);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate * 2, 28);
  header.write('data', 36);
  header.writeUInt32LE(data.length, 40);
  return Buffer.concat([header, data]);
}

/** A fifth of a second of it is that tone, or most of that: for what drops out where the computer is busy, a server or the card of a virtual computer. */
export function assertSomeTone({ rate, samples }: Sound, hertz: number): void {
  const length = rate / 5;
  let told: unknown = new Error('nothing was recorded');
  for (let at = 0; at + length <= samples.length; at += length / 4) {
    try {
      assertTone({ rate, samples: samples.slice(at, at + length) }, hertz, 1 / 5);
      return;
    } catch (error) {
      if (samples.slice(at, at + length).some((sample) => Math.abs(sample) > 500)) told = error;
    }
  }
  throw told;
}
