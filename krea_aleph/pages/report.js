/*
 * The gallery. However many rows there are, only those near the window are in the document: each has
 * the same height, so that its place follows from its number.
 */

const AROUND = 2; // rows beyond the window
const GOOD = new Set(['done']);
const BAD = new Set(['failed', 'uncertain', 'file is gone']);

/* Make an element; what it says is text, never markup. */
function make(tag, { text, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) node.textContent = text;
  node.append(...children.filter(Boolean));
  return node;
}

function length(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)}`;
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

function moment(seconds) {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

class Gallery {
  constructor(data, look) {
    this.rows = data.rows;
    this.causes = data.causes;
    this.look = look;
    this.list = document.querySelector('.list');
    this.shownText = document.querySelector('.shown');
    this.filters = Object.fromEntries(
      ['text', 'status-filter', 'cause-filter', 'account-filter']
        .map((name) => [name.replace('-filter', ''), document.querySelector(`.${name}`)]),
    );
    this.drawn = new Map();
    this.words = this.rows.map((row) => [row.name, row.prompt, row.video, row.job, row.intent, row.message]
      .filter(Boolean).join('\n').toLowerCase());
    this.offer('status', [...new Set(this.rows.map((row) => row.status))].map((name) => [name, name]));
    this.offer('cause', this.causes.map((name, number) => [name, String(number)]));
    const accounts = [...new Set(this.rows.map((row) => row.account).filter(Boolean))];
    this.offer('account', accounts.map((name) => [name, name]));
    this.ofMany = accounts.length > 1;
    this.listen();
    this.filter();
  }

  offer(name, choices) {
    const select = this.filters[name];
    for (const [text, value] of choices) select.append(make('option', { text, value }));
    select.parentElement.hidden = choices.length < 2 && name !== 'status';
  }

  listen() {
    for (const input of Object.values(this.filters)) {
      input.addEventListener('input', () => this.filter());
    }
    document.querySelector('.filters').addEventListener('submit', (event) => event.preventDefault());
    document.querySelector('.clear').addEventListener('click', () => this.clear());
    for (const button of document.querySelectorAll('[data-cause]')) {
      button.addEventListener('click', () => this.showCause(button.dataset.cause));
    }
    addEventListener('scroll', () => this.later(), { passive: true });
    addEventListener('resize', () => this.later());
    this.list.addEventListener('keydown', (event) => this.key(event));
  }

  showCause(number) {
    this.clear();
    this.filters.cause.value = number;
    this.filter();
    this.filters.cause.focus();
  }

  clear() {
    for (const input of Object.values(this.filters)) input.value = '';
    this.filter();
  }

  filter() {
    const { text, status, cause, account } = this.filters;
    const sought = text.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    this.chosen = [];
    this.rows.forEach((row, number) => {
      if (status.value && row.status !== status.value) return;
      if (cause.value && String(row.cause) !== cause.value) return;
      if (account.value && row.account !== account.value) return;
      if (sought.every((word) => this.words[number].includes(word))) this.chosen.push(row);
    });
    for (const place of [...this.drawn.keys()]) this.drop(place);
    this.shownText.textContent = this.chosen.length === this.rows.length
      ? `${this.rows.length} rows`
      : `${this.chosen.length} of ${this.rows.length} rows`;
    this.draw();
  }

  later() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.draw();
    });
  }

  height() {
    const probe = getComputedStyle(document.documentElement);
    return parseFloat(probe.getPropertyValue('--row')) * parseFloat(probe.fontSize);
  }

  /* Have exactly those rows in the document that are near the window, and the one in use. */
  draw() {
    const height = this.height();
    this.list.style.height = `${height * this.chosen.length}px`;
    const above = -this.list.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(above / height) - AROUND);
    const last = Math.min(this.chosen.length - 1, Math.ceil((above + innerHeight) / height) + AROUND);
    const used = document.activeElement?.closest('.row');
    for (const [place, node] of [...this.drawn]) {
      if ((place < first || place > last) && node !== used) this.drop(place);
    }
    for (let place = first; place <= last; place += 1) {
      if (!this.drawn.has(place)) this.add(place);
    }
    for (const [place, node] of this.drawn) node.style.top = `${place * height}px`;
  }

  add(place) {
    const node = this.node(this.chosen[place], place);
    this.drawn.set(place, node);
    const next = [...this.drawn.keys()].filter((other) => other > place).sort((a, b) => a - b)[0];
    this.list.insertBefore(node, next === undefined ? null : this.drawn.get(next));
  }

  drop(place) {
    const node = this.drawn.get(place);
    this.drawn.delete(place);
    for (const clip of node.querySelectorAll('video')) {
      clip.pause();
      clip.removeAttribute('src');
      clip.load();
    }
    node.remove();
  }

  node(row, place) {
    const open = make('button', {
      type: 'button', className: 'open', text: row.before && row.after ? 'Compare' : 'Details',
      ariaLabel: `${row.before && row.after ? 'Compare' : 'Details of'} ${row.name}`,
    });
    open.addEventListener('click', () => this.look(row));
    const node = make(
      'div',
      { className: 'row', role: 'listitem', ariaSetSize: String(this.chosen.length), ariaPosInSet: String(place + 1) },
      make('div', { className: 'pair' },
        this.clip(row.before, 'before', row.video, row), this.clip(row.after, 'after', '', row)),
      this.told(row),
      make('div', {}, open),
    );
    node.dataset.place = place;
    const clips = node.querySelectorAll('video');
    const play = () => { if (!calm.matches) clips.forEach((clip) => clip.play().catch(() => {})); };
    const stop = () => { if (!node.matches(':hover, :focus-within')) clips.forEach((clip) => clip.pause()); };
    node.addEventListener('pointerenter', play);
    node.addEventListener('focusin', play);
    node.addEventListener('pointerleave', stop);
    node.addEventListener('focusout', () => requestAnimationFrame(stop));
    return node;
  }

  clip(address, side, name, row) {
    if (!address) {
      const words = side === 'before' ? (name || 'not known') : row.status;
      return make('div', { className: 'none' }, make('bdi', { text: words }));
    }
    const clip = make('video', { muted: true, loop: true, playsInline: true, preload: 'metadata', src: address });
    clip.setAttribute('aria-label', `${row.name}, ${side}`);
    clip.addEventListener('error', () => {
      if (clip.hasAttribute('src')) clip.replaceWith(make('div', { className: 'none', text: 'cannot be played' }));
    });
    return clip;
  }

  told(row) {
    const name = make('bdi', { text: row.name });
    const kind = GOOD.has(row.status) ? 'good' : BAD.has(row.status) ? 'bad' : 'dim';
    const facts = [
      row.seconds !== undefined && length(row.seconds), this.ofMany && row.account, row.options,
      row.attempts > 1 && `attempt ${row.attempts}`, row.job && `job ${row.job}`,
    ].filter(Boolean).join(' · ');
    return make(
      'div',
      { className: 'words' },
      make('p', { className: 'name' },
        row.after ? make('a', { href: row.after }, name) : name, ' ',
        make('span', { className: `mark ${kind}`, text: row.status })),
      row.prompt && make('p', { className: 'prompt', dir: 'auto', text: row.prompt }),
      facts && make('p', { className: 'more dim', text: facts }),
      row.error && make('p', { className: 'error bad', text: `${row.error}: ${row.message ?? ''} ${row.hint ?? ''}` }),
    );
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest('.row');
    if (!step || !row) return;
    const place = Number(row.dataset.place) + step;
    if (place < 0 || place >= this.chosen.length) return;
    event.preventDefault();
    if (!this.drawn.has(place)) this.add(place);
    const node = this.drawn.get(place);
    node.style.top = `${place * this.height()}px`;
    node.querySelector('.open').focus();
    node.scrollIntoView({ block: 'nearest' });
    this.later();
  }
}

/* The dialog with everything about one row, and both clips if there are both. */
class Look {
  constructor() {
    this.dialog = document.querySelector('dialog');
    this.both = this.dialog.querySelector('.both');
    this.player = new Player(this.dialog.querySelector('.player'));
    this.dialog.addEventListener('close', () => this.player.close());
    this.dialog.addEventListener('keydown', (event) => {
      if (!this.both.hidden) this.player.key(event);
    });
  }

  show(row) {
    this.dialog.querySelector('h2').replaceChildren(make('bdi', { text: row.name }));
    this.both.hidden = !(row.before && row.after);
    this.dialog.querySelector('.facts').replaceChildren(...this.facts(row));
    this.dialog.showModal();
    if (!this.both.hidden) {
      this.player.load({ src: row.before, name: 'the clip before' }, { src: row.after, name: row.name });
    }
  }

  facts(row) {
    const pairs = [
      ['status', row.status], ['prompt', row.prompt], ['clip', row.video], ['options', row.options],
      ['took', row.seconds !== undefined && length(row.seconds)],
      ['begun', row.at !== undefined && moment(row.at)], ['account', row.account], ['job', row.job],
      ['intent', row.intent], ['attempts', row.attempts > 1 && row.attempts], ['error', row.error],
      ['', row.message], ['charged', row.charged], ['hint', row.hint],
    ];
    return pairs.filter(([, value]) => value).flatMap(([name, value]) => [
      make('dt', { text: name }), make('dd', {}, make('bdi', { text: String(value) })),
    ]);
  }
}

function main() {
  const look = new Look();
  new Gallery(JSON.parse(document.getElementById('rows').textContent), (row) => look.show(row));
}

main();
