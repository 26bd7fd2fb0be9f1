// The server's API as the page uses it. Addresses are relative, so that the page works behind a path of a proxy.
import { parse, stringify, type Json, type Obj } from "./model/json";

const base = new URL(".", location.href);
export const url = (path: string) => new URL(path, base).toString();

/** isOwn tells whether an address is of this server. */
export const isOwn = (address: string): boolean => URL.canParse(address) && new URL(address).origin === base.origin;

async function get(path: string): Promise<Json> {
  const r = await fetch(url(path));
  if (!r.ok) throw new Error(`${path}: ${r.status} ${(await r.text()).slice(0, 300)}`);
  return parse(await r.text());
}

async function post(path: string, body: Json): Promise<Response> {
  return fetch(url(path), { method: "POST", headers: { "Content-Type": "application/json" }, body: stringify(body) });
}

export const objectInfo = () => get("object_info") as Promise<Obj>;
export const systemStats = () => get("system_stats") as Promise<Obj>;
export const queue = () => get("queue") as Promise<Obj>;
export const history = (max: number) => get(`history?max_items=${max}`) as Promise<Obj>;

export interface Converted { workflow: Obj | null; prompt: Obj | null; warnings: string[]; error?: string }

/** convert reads any workflow file: its workflow and the prompt that it makes. */
export async function convert(file: BodyInit): Promise<Converted> {
  const r = await fetch(url("graphrun/convert"), { method: "POST", body: file });
  const text = await r.text();
  if (!r.ok) throw new Error(text.slice(0, 500));
  return parse(text) as unknown as Converted;
}

export async function submit(prompt: Obj, workflow: Json, client: string, front: boolean): Promise<{ ok: boolean; answer: Obj }> {
  const r = await post("prompt", { prompt, client_id: client, extra_data: { extra_pnginfo: { workflow } }, ...(front ? { front } : {}) });
  const text = await r.text();
  try {
    return { ok: r.ok, answer: parse(text) as Obj };
  } catch {
    return { ok: false, answer: { error: { message: text || `status ${r.status}` } } };
  }
}

export const interrupt = (id: string) => post("interrupt", { prompt_id: id });
export const changeQueue = (change: Obj) => post("queue", change);
export const modelKinds = () => get("models") as Promise<string[]>;
export const modelFiles = (kind: string) => get(`experiment/models/${encodeURIComponent(kind)}`) as Promise<Json[]>;
export const removeHistory = (ids: string[]) => post("history", { delete: ids });
export const clearHistory = () => post("history", { clear: true });
export const free = () => post("free", { unload_models: true, free_memory: true });

/** choices reads the list of a combo that names a route for it; only the server's own routes are asked. */
export async function choices(route: string): Promise<Json[]> {
  const path = route.replace(/^\//, "");
  if (![route, path].every((p) => isOwn(url(p)))) throw new Error(`${route}: lists are read from this server alone`);
  const list = await get(path);
  return Array.isArray(list) ? list : [];
}

export interface FileRef { filename: string; subfolder?: string; type?: string }

export function viewURL(f: FileRef, extra: Record<string, string> = {}): string {
  return url("view?" + new URLSearchParams({ filename: f.filename, subfolder: f.subfolder ?? "", type: f.type ?? "output", ...extra }));
}

export async function upload(file: File): Promise<string> {
  const form = new FormData();
  form.append("image", file, file.name || "pasted.png");
  const r = await fetch(url("upload/image"), { method: "POST", body: form });
  if (!r.ok) throw new Error(`upload of ${file.name}: ${r.status} ${await r.text()}`);
  const { name, subfolder } = await r.json();
  return subfolder ? `${subfolder}/${name}` : name;
}

export interface Listener {
  message(type: string, data: Obj): void;
  preview(node: string, picture: Blob): void;
  connected(yes: boolean): void;
}

/** listen keeps a socket open, and opens it again when it breaks. */
export function listen(client: string, to: Listener): void {
  let wait = 500;
  const open = () => {
    const address = new URL(`ws?clientId=${client}`, base);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      wait = 500;
      socket.send(JSON.stringify({ type: "feature_flags", data: { supports_preview_metadata: true } }));
      to.connected(true);
    };
    socket.onclose = () => {
      to.connected(false);
      setTimeout(open, wait);
      wait = Math.min(wait * 2, 8000);
    };
    socket.onmessage = (e) => {
      if (typeof e.data === "string") {
        const { type, data } = JSON.parse(e.data);
        to.message(type, data);
      } else binary(e.data as ArrayBuffer, to);
    };
  };
  open();
}

/** binary reads a preview (specs/server.md 7). */
function binary(data: ArrayBuffer, to: Listener) {
  const view = new DataView(data);
  switch (view.getUint32(0)) {
    case 1:
      to.preview("", new Blob([data.slice(8)], { type: view.getUint32(4) === 2 ? "image/png" : "image/jpeg" }));
      break;
    case 4: {
      const length = view.getUint32(4);
      const meta = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 8, length)));
      to.preview(meta.node_id, new Blob([data.slice(8 + length)], { type: meta.image_type }));
    }
  }
}
