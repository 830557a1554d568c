import { describe, expect, test } from 'vitest';
import { BROWSER, openRebinding, openSite, pageOf } from '../support/browser.ts';
import { startHttp } from '../support/http-fixture.ts';

const skipped = BROWSER === null ? ' (skipped: there is no chromium on this machine)' : '';
const CHAT = '{"model":"org/fake","messages":[{"role":"user","content":"a b c"}]}';

/** Every way by which a page can send something to another server, and whatever it can learn from the answer. */
const everyWay = (target: string): string => `
const at = (path) => '${target}' + path;
const read = async (answer) => answer.type === 'opaque' ? 'opaque' : answer.status + ' ' + (await answer.text());
const json = { 'content-type': 'application/json' };
const body = ${JSON.stringify(CHAT)};
await attempt('fetch GET', async () => read(await fetch(at('/v1/models'))));
await attempt('fetch POST JSON', async () => read(await fetch(at('/v1/chat/completions'), { method: 'POST', headers: json, body })));
await attempt('fetch POST text', async () => read(await fetch(at('/v1/chat/completions'), { method: 'POST', headers: { 'content-type': 'text/plain' }, body })));
await attempt('no-cors GET', async () => read(await fetch(at('/v1/models'), { mode: 'no-cors' })));
await attempt('no-cors POST text', async () => read(await fetch(at('/v1/chat/completions'), { method: 'POST', mode: 'no-cors', headers: { 'content-type': 'text/plain' }, body })));
await attempt('no-cors POST blob', async () => read(await fetch(at('/v1/chat/completions'), { method: 'POST', mode: 'no-cors', body: new Blob([body], { type: 'application/json' }) })));
await attempt('fetch DELETE', async () => read(await fetch(at('/v1/requests/x'), { method: 'DELETE' })));
await attempt('fetch with credentials', async () => read(await fetch(at('/v1/models'), { credentials: 'include' })));
await attempt('beacon', async () => navigator.sendBeacon(at('/v1/chat/completions'), new Blob([body], { type: 'text/plain' })));
await attempt('XMLHttpRequest', () => new Promise((resolve) => { const x = new XMLHttpRequest(); x.open('POST', at('/v1/chat/completions')); x.setRequestHeader('content-type', 'application/json'); x.onload = () => resolve(x.status + ' ' + x.responseText); x.onerror = () => resolve('refused'); x.send(body); }));
await attempt('WebSocket', () => new Promise((resolve) => { const s = new WebSocket(at('/v1/chat/completions').replace('http', 'ws')); s.onopen = () => resolve('open'); s.onerror = () => resolve('refused'); }));
await attempt('EventSource', () => new Promise((resolve) => { const s = new EventSource(at('/admin/v1/events')); s.onopen = () => resolve('open'); s.onmessage = () => resolve('open'); s.onerror = () => { s.close(); resolve('refused'); }; }));
const load = (tag, set) => new Promise((resolve) => { const e = document.createElement(tag); e.onload = () => resolve('loaded'); e.onerror = () => resolve('refused'); set(e); document.body.append(e); });
await attempt('script', () => load('script', (e) => { e.src = at('/v1/models'); }));
await attempt('script module', () => load('script', (e) => { e.type = 'module'; e.src = at('/v1/models'); }));
await attempt('style', () => load('link', (e) => { e.rel = 'stylesheet'; e.href = at('/v1/models'); }));
await attempt('image', () => load('img', (e) => { e.src = at('/v1/models'); }));
await attempt('frame', () => new Promise((resolve) => { const e = document.createElement('iframe'); e.onload = () => { try { resolve('read ' + e.contentDocument.body.innerText); } catch { resolve('closed'); } }; e.src = at('/v1/models'); document.body.append(e); }));
const submit = (enctype, field) => new Promise((resolve) => { const f = document.createElement('iframe'); f.name = 'out' + enctype + Math.random(); document.body.append(f); const form = document.createElement('form'); form.method = 'POST'; form.enctype = enctype; form.target = f.name; form.action = at(enctype === 'multipart/form-data' ? '/v1/audio/transcriptions' : '/v1/chat/completions'); const i = document.createElement('input'); i.name = field; i.value = '"}'; form.append(i); document.body.append(form); f.onload = () => resolve('sent'); form.submit(); });
await attempt('form text', () => submit('text/plain', body.slice(0, -1) + ',"x":"'));
await attempt('form urlencoded', () => submit('application/x-www-form-urlencoded', body));
await attempt('form multipart', () => submit('multipart/form-data', 'file'));
await attempt('null origin', () => new Promise((resolve) => { addEventListener('message', (m) => resolve(m.data), { once: true }); const f = document.createElement('iframe'); f.sandbox = 'allow-scripts'; f.srcdoc = '<script>fetch("' + at('/v1/models') + '").then(async (r) => parent.postMessage(r.status + " " + await r.text(), "*"), (e) => parent.postMessage("refused: " + e.name, "*"))<' + '/script>'; document.body.append(f); }));
await attempt('null origin form', () => new Promise((resolve) => { const f = document.createElement('iframe'); f.sandbox = 'allow-scripts allow-forms'; f.onload = () => resolve('sent'); f.srcdoc = '<form method=post enctype="text/plain" action="' + at('/v1/chat/completions') + '"><input name="x"></form><script>setTimeout(() => document.forms[0].submit(), 0)<' + '/script>'; document.body.append(f); }));
`;

/** What the server let in: requests that reached a route. */
function watched() {
  const letIn: string[] = [];
  return { letIn, events: { emit: (event: { readonly kind: string }) => void (event.kind === 'request-end' && letIn.push(JSON.stringify(event))) } };
}

describe.skipIf(BROWSER === null)(`a real browser${skipped}`, () => {
  test('[security G41] a page of another site, or of another port of this machine, can neither read nor trigger anything; a null origin neither', async () => {
    const { letIn, events } = watched();
    await using server = await startHttp({}, { api: { events } });
    await using site = await openSite(() => everyWay(server.baseUrl));
    for (const name of ['evil.test', '127.0.0.1', 'localhost']) {
      const findings = await site.visit({ url: `http://${name}:${site.port}/`, names: { 'evil.test': '127.0.0.1' } });
      expect(Object.keys(findings)).toHaveLength(22);
      for (const [way, found] of Object.entries(findings)) {
        expect(found, `${name} ${way}`).not.toContain('org/fake');
        expect(found, `${name} ${way}`).not.toMatch(/^(200|loaded|open|read)/);
      }
    }
    expect(letIn).toEqual([]);
    expect(server.starts()).toBe(0);
  }, 180_000);

  test('the same page reads and triggers where its origin is listed: the ways are real', async () => {
    const { letIn, events } = watched();
    const origins: string[] = [];
    await using server = await startHttp({}, { api: { events }, listen: { access: { origins } } });
    await using site = await openSite(() => everyWay(server.baseUrl));
    origins.push(`http://listed.test:${site.port}`);
    const findings = await site.visit({ url: `http://listed.test:${site.port}/`, names: { 'listed.test': '127.0.0.1' } });
    expect(findings['fetch GET']).toMatch(/^200 .*org\/fake/);
    expect(findings['fetch POST JSON']).toMatch(/^200 /);
    expect(findings['fetch POST text']).toMatch(/^415 /);
    expect(findings['null origin']).toMatch(/^refused/);
    expect(letIn.length).toBeGreaterThan(2);
    expect(server.starts()).toBe(1);
  }, 120_000);

  const steal = (port: number, to: number): string =>
    pageOf(
      `await fetch('/rebind');
await new Promise((resolve) => setTimeout(resolve, 300));
for (const path of ['/v1/models', '/health', '/metrics', '/admin/v1/status'])
  await attempt(path, async () => { const r = await fetch(path); return r.status + ' ' + (await r.text()); });
await attempt('chat', async () => { const r = await fetch('/v1/chat/completions', { method: 'POST', headers: { 'content-type': 'application/json' }, body: ${JSON.stringify(CHAT)} }); return r.status + ' ' + (await r.text()); });
await attempt('events', () => new Promise((resolve) => { const s = new EventSource('/admin/v1/events'); s.onopen = () => resolve('open'); s.onerror = () => { s.close(); resolve('refused'); }; }));
await attempt('socket', () => new Promise((resolve) => { const s = new WebSocket('ws://rebind.test:${port}/'); s.onopen = () => resolve('open'); s.onerror = () => resolve('refused'); }));`,
      to,
    );

  test('[security G42] a page whose name is rebound to this machine is refused on every route; with that name allowed it would have read all', async () => {
    const { letIn, events } = watched();
    const hosts: string[] = [];
    await using server = await startHttp({}, { api: { events }, listen: { access: { hosts } } });
    const port = server.listener.port!;
    await using site = await openSite(() => '');
    const visit = async () => {
      await using rebinding = await openRebinding(port, (own) => steal(own, site.port));
      return await site.visit({ url: `http://rebind.test:${port}/`, names: { 'rebind.test': rebinding.address } });
    };
    const findings = await visit();
    expect(Object.keys(findings)).toHaveLength(7);
    for (const [way, found] of Object.entries(findings)) expect(found, way).toMatch(/^(403 .*host_not_allowed|refused)/);
    expect(letIn).toEqual([]);
    expect(server.starts()).toBe(0);
    hosts.push('rebind.test');
    const open = await visit();
    expect(open['/v1/models']).toMatch(/^200 .*org\/fake/);
    expect(open['chat']).toMatch(/^200 /);
  }, 180_000);
});
