// Native reroutes: points that links pass through. A workflow of version 0.4 keeps them in `extra` (reroutes, and the last
// one of each link in linkExtensions); subgraphs and version 1 in `reroutes` and the links' parentId.
import type { Canvas, Document } from "./document";
import { isObj, type Json, type Obj } from "./json";

/** Bend is one such point; parentId is the one before it, nearer to the link's origin. */
export interface Bend { id: number; parentId?: number; pos: Json; linkIds?: number[]; [key: string]: unknown }

const inExtra = (c: Canvas) => !Array.isArray(c.reroutes) && (Array.isArray(c.links?.[0]) || isObj(c.extra) && (Array.isArray(c.extra.reroutes) || Array.isArray(c.extra.linkExtensions)));

const listOf = (c: Canvas): Bend[] => {
  const list = Array.isArray(c.reroutes) ? c.reroutes : isObj(c.extra) ? c.extra.reroutes : null;
  return Array.isArray(list) ? (list.filter(isObj) as unknown as Bend[]) : [];
};

export const bendsOf = (c: Canvas): Map<number, Bend> => new Map(listOf(c).map((b) => [b.id, b]));

interface Extension { id: number; parentId?: number; [key: string]: unknown }
const extensions = (c: Canvas): Extension[] => (isObj(c.extra) && Array.isArray(c.extra.linkExtensions) ? (c.extra.linkExtensions as unknown as Extension[]) : []);

/** parents tells for each link that passes through bends the last of them. */
export function parents(c: Canvas): Map<number, number> {
  const all = new Map<number, number>();
  for (const l of c.links ?? []) if (isObj(l) && typeof l.parentId === "number") all.set(Number(l.id), l.parentId);
  for (const e of extensions(c)) if (typeof e.parentId === "number") all.set(e.id, e.parentId);
  return all;
}

/** chain lists the bends from a link's origin to its target. */
export function chain(bends: Map<number, Bend>, last: number | undefined): Bend[] {
  const list: Bend[] = [];
  const seen = new Set<number>();
  for (let b = last === undefined ? undefined : bends.get(last); b && !seen.has(b.id); b = b.parentId === undefined ? undefined : bends.get(b.parentId)) {
    seen.add(b.id);
    list.unshift(b);
  }
  return list;
}

function write(c: Canvas, bends: Bend[], last: Map<number, number | undefined>): Canvas {
  const links = c.links.map((l) => {
    if (!isObj(l) || !last.has(Number(l.id)) || l.parentId === last.get(Number(l.id))) return l;
    const { parentId: _, ...rest } = l;
    const id = last.get(Number(l.id));
    return id === undefined ? rest : { ...rest, parentId: id };
  });
  if (!inExtra(c)) return { ...c, links, reroutes: bends };
  const kept = extensions(c).filter((e) => !last.has(e.id));
  for (const [id, parentId] of last) if (parentId !== undefined && c.links.some((l) => Array.isArray(l) && l[0] === id)) kept.push({ id, parentId });
  return { ...c, links, extra: { ...(c.extra as Obj), reroutes: bends as unknown as Json, linkExtensions: kept as unknown as Json } };
}

/** addBend puts a point into a link, as the k-th that it passes. All links that share the way behind it pass it too. */
export function addBend(doc: Document, c: Canvas, link: number, k: number, x: number, y: number): Canvas {
  const bends = bendsOf(c), last = parents(c);
  const way = chain(bends, last.get(link));
  const id = nextBend(doc, c);
  const before = way[k - 1]?.id, behind = way[k]?.id;
  const linkIds = behind === undefined ? [link] : [...(bends.get(behind)!.linkIds ?? [link])];
  const fresh: Bend = { id, ...(before === undefined ? {} : { parentId: before }), pos: [Math.round(x), Math.round(y)], linkIds };
  const list = [...bends.values()].map((b) => (b.id === behind ? { ...b, parentId: id } : b));
  return counted(write(c, [...list, fresh], new Map(behind === undefined ? [[link, id]] : [])), id);
}

function nextBend(doc: Document, c: Canvas): number {
  const canvases: Canvas[] = [doc, ...(doc.definitions?.subgraphs ?? [])];
  const state = (c.state as Obj | undefined)?.lastRerouteId;
  return Math.max(Number(state) || 0, ...canvases.flatMap((c) => [...bendsOf(c).keys()])) + 1;
}

const counted = (c: Canvas, id: number): Canvas => (isObj(c.state) ? { ...c, state: { ...c.state, lastRerouteId: Math.max(Number(c.state.lastRerouteId) || 0, id) } } : c);

/** removeBends takes points away; the links stay. */
export function removeBends(c: Canvas, ids: Set<number>): Canvas {
  if (ids.size === 0) return c;
  const bends = bendsOf(c);
  const alive = (id: number | undefined): number | undefined => {
    for (let n = 0; id !== undefined && ids.has(id) && n <= bends.size; n++) id = bends.get(id)?.parentId;
    return id !== undefined && ids.has(id) ? undefined : id;
  };
  const list = [...bends.values()].filter((b) => !ids.has(b.id)).map((b) => {
    if (b.parentId === undefined || !ids.has(b.parentId)) return b;
    const { parentId: _, ...rest } = b;
    const up = alive(b.parentId);
    return up === undefined ? (rest as Bend) : ({ ...rest, parentId: up } as Bend);
  });
  const last = new Map<number, number | undefined>();
  for (const [link, id] of parents(c)) if (ids.has(id)) last.set(link, alive(id));
  return write(c, list, last);
}

/** moveBends puts points where they were dragged. */
export function moveBends(c: Canvas, places: Map<number, [number, number]>): Canvas {
  if (![...places.keys()].some((id) => bendsOf(c).has(id))) return c;
  const put = (b: Bend): Bend => (places.has(b.id) ? { ...b, pos: places.get(b.id)! } : b);
  return write(c, listOf(c).map(put), new Map());
}

/** dropLinks forgets links that are gone, and the points that only they passed. */
export function dropLinks(c: Canvas, gone: Set<number>): Canvas {
  const bends = listOf(c);
  if (!bends.some((b) => b.linkIds?.some((l) => gone.has(l)))) return c;
  const kept = bends.flatMap((b) => {
    if (!b.linkIds?.some((l) => gone.has(l))) return [b];
    const linkIds = b.linkIds.filter((l) => !gone.has(l));
    return linkIds.length || b.floating ? [{ ...b, linkIds }] : [];
  });
  return write(c, kept, new Map([...gone].map((l) => [l, undefined])));
}

export interface Carried { bends: Bend[]; last: [number, number][] }

/** carry takes the bends that links pass out of a canvas. */
export function carry(c: Canvas, links: Set<number>): Carried {
  const all = bendsOf(c), last = [...parents(c)].filter(([id]) => links.has(id));
  return { bends: [...new Set(last.flatMap(([, id]) => chain(all, id)))], last };
}

/** plant puts them into another canvas, for the links that these have become there. */
export function plant(doc: Document, c: Canvas, { bends, last }: Carried, links: Map<number, number>, dx: number, dy: number): Canvas {
  const passed = last.filter(([id]) => links.has(id));
  if (!passed.length) return c;
  const first = nextBend(doc, c), ids = new Map(bends.map((b, i) => [b.id, first + i]));
  const fresh = bends.map((b): Bend => {
    const [x, y] = Array.isArray(b.pos) ? b.pos : isObj(b.pos) ? [b.pos["0"], b.pos["1"]] : [0, 0];
    const { parentId, ...rest } = b;
    return {
      ...rest, id: ids.get(b.id)!, ...(parentId === undefined ? {} : { parentId: ids.get(parentId)! }), pos: [Number(x) + dx, Number(y) + dy],
      linkIds: (b.linkIds ?? []).flatMap((l) => (links.has(l) ? [links.get(l)!] : [])),
    };
  });
  return counted(write(c, [...bendsOf(c).values(), ...fresh], new Map(passed.map(([l, b]) => [links.get(l)!, ids.get(b)!]))), first + bends.length - 1);
}
