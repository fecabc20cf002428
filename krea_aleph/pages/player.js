/*
 * Two clips on one clock. The clip after is the master: while it plays, the clip before follows by
 * its speed, or by a jump when it is far off. Whenever nothing plays, both stand at the very same
 * time, in the middle of a frame, so that neither rounding nor another frame rate shows neighbours.
 */

const FAR = 0.25; // seconds
const UNKNOWN_FRAME = 1 / 30;
const calm = matchMedia('(prefers-reduced-motion: reduce)');

class Player {
  constructor(root) {
    const find = (name) => root.querySelector(`.${name}`);
    this.root = root;
    this.before = find('before');
    this.after = find('after');
    this.clips = [this.before, this.after];
    this.parts = Object.fromEntries(
      ['stage', 'slider', 'seek', 'play', 'back', 'forth', 'time', 'loop', 'speed', 'problem', 'note']
        .map((name) => [name, find(name)]),
    );
    this.visit = 0;
    this.listen();
    this.reset();
  }

  reset() {
    this.visit += 1;
    this.time = 0;
    this.duration = 0;
    this.frame = UNKNOWN_FRAME;
    this.knowsFrame = false;
    this.wanted = null;
    this.seeking = null;
    this.playing = false;
    this.parts.problem.hidden = true;
    this.parts.note.textContent = '';
    this.tell('loading');
  }

  /* Show two clips: {src, name, frame} each, the length of a frame in seconds if it is known. */
  async load(before, after, { autoplay = true } = {}) {
    this.reset();
    const visit = this.visit;
    try {
      await Promise.all([this.open(this.before, before), this.open(this.after, after)]);
    } catch (problem) {
      if (visit === this.visit) this.fail(problem);
      return;
    }
    if (visit !== this.visit) return;
    const frames = [before.frame, after.frame].filter(Boolean);
    this.knowsFrame = frames.length === 2;
    this.frame = frames.length ? Math.min(...frames) : UNKNOWN_FRAME;
    this.measure();
    await this.seek(0);
    if (visit === this.visit && autoplay && !calm.matches) this.play();
  }

  async open(clip, { src, name }) {
    await new Promise((resolve, reject) => {
      clip.onloadeddata = resolve;
      clip.onerror = () => reject(new Error(`This browser cannot play ${name}.`));
      clip.src = src;
    });
    if (!clip.videoWidth) throw new Error(`This browser can show no picture of ${name}.`);
    if (!Number.isFinite(clip.duration)) await this.measured(clip);
  }

  /* A recording that was streamed says nothing of its length, until somebody has been at its end. */
  measured(clip) {
    return new Promise((resolve) => {
      const look = () => { if (Number.isFinite(clip.duration)) resolve(); };
      clip.ondurationchange = look;
      clip.onended = clip.onseeked = resolve;
      clip.currentTime = 1e6;
    });
  }

  measure() {
    const lengths = this.clips.map((clip) => clip.duration).filter(Number.isFinite);
    this.duration = lengths.length ? Math.min(...lengths) : 0;
    const { videoWidth, videoHeight } = this.after;
    if (videoWidth && videoHeight) {
      this.parts.stage.style.aspectRatio = `${videoWidth} / ${videoHeight}`;
      this.parts.stage.style.maxWidth = `calc(70vh * ${videoWidth / videoHeight})`;
    }
    this.parts.seek.max = this.duration;
    this.parts.note.textContent = this.differences();
  }

  differences() {
    const [before, after] = this.clips;
    const notes = [];
    const apart = Math.abs(before.duration - after.duration);
    if (Number.isFinite(apart) && apart > this.frame) {
      const longer = before.duration > after.duration ? 'before' : 'after';
      notes.push(`The clip ${longer} is ${apart.toFixed(2)} s longer; that rest is not shown.`);
    }
    if (before.videoWidth !== after.videoWidth || before.videoHeight !== after.videoHeight) {
      const size = (clip) => `${clip.videoWidth} × ${clip.videoHeight}`;
      notes.push(`Their sizes differ: ${size(before)} and ${size(after)}.`);
    }
    return notes.join(' ');
  }

  /* Return the middle of the frame that a time falls into, of those that both clips have. */
  snapped(time) {
    const last = Math.max(0, Math.ceil(this.duration / this.frame - 0.01) - 1);
    const number = Math.min(last, Math.max(0, Math.floor(time / this.frame + 1e-6)));
    return Math.max(0, Math.min((number + 0.5) * this.frame, this.duration - 1e-4));
  }

  /* Bring both clips to a time; the last one that was asked for is where they end up. */
  seek(time) {
    this.wanted = this.snapped(time);
    this.show(this.wanted);
    this.seeking ??= this.settle(this.visit);
    return this.seeking;
  }

  async settle(visit) {
    this.tell('seeking');
    while (visit === this.visit && this.wanted !== null) {
      const target = this.wanted;
      this.wanted = null;
      await Promise.all(this.clips.map((clip) => this.put(clip, target)));
    }
    if (visit !== this.visit) return;
    this.seeking = null;
    this.tell(this.playing ? 'playing' : 'paused');
  }

  put(clip, time) {
    if (clip.currentTime === time && !clip.seeking) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clip.removeEventListener('seeked', done);
        clip.removeEventListener('error', done);
        clip.removeEventListener('emptied', done);
        resolve();
      };
      for (const kind of ['seeked', 'error', 'emptied']) clip.addEventListener(kind, done);
      clip.currentTime = time;
    });
  }

  async play() {
    if (this.playing || this.duration <= 1.5 * this.frame) return; // one frame does not play
    const visit = this.visit;
    if (this.snapped(this.time) >= this.snapped(this.duration)) await this.seek(0);
    else if (this.seeking) await this.seeking;
    if (visit !== this.visit || this.playing) return;
    this.playing = true;
    this.pace(0);
    try {
      await Promise.all(this.clips.map((clip) => clip.play()));
    } catch {
      if (visit === this.visit && this.playing) this.pause();
      return;
    }
    if (visit !== this.visit || !this.playing) return;
    this.tell('playing');
    this.follow(visit);
  }

  pause() {
    this.playing = false;
    for (const clip of this.clips) clip.pause();
    return this.seek(this.after.currentTime);
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  step(frames) {
    const begin = this.playing ? this.pause() : Promise.resolve();
    return begin.then(() => this.seek((this.wanted ?? this.time) + frames * this.frame));
  }

  /* With each frame of the master, let the other clip catch up or wait. */
  follow(visit) {
    let before = null;
    const look = (_, facts) => {
      if (visit !== this.visit || !this.playing) return;
      if (!this.seeking) this.correct();
      if (facts) this.learn(before, facts.mediaTime);
      before = facts ? facts.mediaTime : null;
      this.next(look);
    };
    this.next(look);
  }

  next(look) {
    if (this.after.requestVideoFrameCallback) this.after.requestVideoFrameCallback(look);
    else requestAnimationFrame(look);
  }

  correct() {
    const drift = this.before.currentTime - this.after.currentTime;
    if (Math.abs(drift) > FAR && !this.before.seeking) this.before.currentTime = this.after.currentTime;
    this.pace(drift);
    this.show(this.after.currentTime);
    if (this.after.currentTime >= this.duration - this.frame / 2) this.end();
  }

  pace(drift) {
    const speed = Number(this.parts.speed.value);
    this.after.playbackRate = speed;
    this.before.playbackRate = speed * (1 - Math.max(-0.1, Math.min(0.1, drift)));
  }

  /* What no index has told is learnt from the frames that are shown. */
  learn(before, now) {
    const length = before === null ? 0 : now - before;
    if (this.knowsFrame || length < 1 / 130 || length >= this.frame) return;
    this.frame = length;
  }

  async end() {
    if (!this.playing) return;
    const again = this.parts.loop.checked;
    this.playing = false;
    for (const clip of this.clips) clip.pause();
    await this.seek(again ? 0 : this.duration);
    if (again && !this.playing && this.root.isConnected) this.play();
  }

  close() {
    this.reset();
    for (const clip of this.clips) {
      clip.onloadeddata = null;
      clip.onerror = null;
      clip.pause();
      clip.removeAttribute('src');
      clip.load();
    }
  }

  show(time) {
    this.time = time;
    const words = `${time.toFixed(2)} of ${this.duration.toFixed(2)} s`;
    this.parts.seek.value = time;
    this.parts.seek.setAttribute('aria-valuetext', words);
    this.parts.time.textContent = words;
  }

  tell(state) {
    this.root.dataset.state = state;
    this.parts.play.textContent = this.playing ? 'Pause' : 'Play';
  }

  fail(problem) {
    this.tell('failed');
    this.parts.problem.textContent = problem.message;
    this.parts.problem.hidden = false;
  }

  uncover() {
    const share = Number(this.parts.slider.value);
    this.root.style.setProperty('--at', `${share}%`);
    this.parts.slider.setAttribute('aria-valuetext', `${Math.round(share)} % before`);
  }

  listen() {
    const { slider, seek, play, back, forth, speed } = this.parts;
    slider.addEventListener('input', () => this.uncover());
    seek.addEventListener('input', () => this.drag());
    seek.addEventListener('keydown', (event) => this.seekByKey(event));
    play.addEventListener('click', () => this.toggle());
    back.addEventListener('click', () => this.step(-1));
    forth.addEventListener('click', () => this.step(1));
    speed.addEventListener('change', () => this.pace(0));
    for (const clip of this.clips) clip.addEventListener('ended', () => this.end());
    this.uncover();
  }

  drag() {
    const time = Number(this.parts.seek.value);
    if (this.playing) this.pause();
    this.seek(time);
  }

  seekByKey(event) {
    const frames = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (frames === undefined) return;
    event.preventDefault();
    this.step(frames);
  }

  /* Keys that work wherever the focus is, unless what has it has a use for them. */
  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const onControl = event.target.closest('button, select, a, input:not([type="range"])');
    const actions = {
      ',': () => this.step(-1),
      '.': () => this.step(1),
      l: () => this.parts.loop.click(),
      ...(onControl ? {} : { ' ': () => this.toggle() }),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }
}
