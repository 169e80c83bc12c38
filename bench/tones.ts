/** Hears tones in samples of 16 bits: when sound begins after silence, and where a tone has a gap or its phase jumps. */

/** Ten milliseconds, in which tones of whole hundreds of hertz have whole waves, so that none is heard as another. */
const perSecond = 100;

/** Of full scale 32767; a tone is played with 8000, and a block that has less than all of it has a hole. */
const loud = 2000;
const whole = 7600;

/** In radians: a lost or doubled sample of a tone of 400 Hz is 0.057 of its phase, one of 1000 Hz 0.14; what mixing rounds off is far below. */
const jump = 0.03;

/** Keeps what comes and does nothing with it until it is asked: a recorder that has to wait loses samples that were played well. */
export class Recording {
  private chunks: { samples: Buffer; at: number }[] = [];
  private readonly rate: number;

  /** `rate`: samples a second, of one channel. */
  constructor(rate: number) {
    this.rate = rate;
  }

  /** `at`: when it came, in ms since 1970. */
  add(samples: Buffer, at: number): void {
    this.chunks.push({ samples, at });
  }

  forget(): void {
    this.chunks = [];
  }

  /** When sounds began, in ms since 1970: by the time when the samples came, and their place among these. */
  begins(): number[] {
    const found: number[] = [];
    let silent = 0;
    for (const { samples, at } of this.chunks) {
      const count = samples.length >> 1;
      for (let i = 0; i < count; i++) {
        if (Math.abs(samples.readInt16LE(i * 2)) > loud) {
          if (silent > this.rate / 10) found.push(at - ((count - i) / this.rate) * 1000);
          silent = 0;
        } else silent++;
      }
    }
    return found;
  }

  /** Of one tone: seconds in which it was heard, and what was wrong in between. */
  tone(hertz: number): { heard: number; gaps: number; jumps: number } {
    const bytes = Buffer.concat(this.chunks.map(({ samples }) => samples));
    const length = this.rate / perSecond;
    const waves = Array.from({ length }, (_, i) => [Math.cos((2 * Math.PI * hertz * i) / this.rate), Math.sin((2 * Math.PI * hertz * i) / this.rate)] as const);
    let [blocks, gaps, jumps, weak] = [0, 0, 0, 0];
    let before: number | null = null;
    for (let at = 0; at + length * 2 <= bytes.length; at += length * 2) {
      let [re, im] = [0, 0];
      for (let i = 0; i < length; i++) {
        const sample = bytes.readInt16LE(at + i * 2);
        re += sample * waves[i]![0];
        im += sample * waves[i]![1];
      }
      if ((2 * Math.hypot(re, im)) / length < whole) {
        weak++;
        continue;
      }
      const phase = Math.atan2(im, re);
      if (before !== null && weak > 0) gaps++; // it was silent, and goes on: after the end it does not
      else if (before !== null && Math.abs(Math.atan2(Math.sin(phase - before), Math.cos(phase - before))) > jump) jumps++;
      [before, weak] = [phase, 0];
      blocks++;
    }
    return { heard: blocks / perSecond, gaps, jumps };
  }
}
