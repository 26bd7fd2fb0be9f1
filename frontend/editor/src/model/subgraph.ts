// The widgets that a subgraph shows on its instances (specs/workflow-conversion.md 7).
import { definitionOf, inputNode, linksOf, type Definition, type Document, type Node } from "./document";
import { isObj, type Json } from "./json";
import { widgetsOf, type Classes, type Widget } from "./schema";

/** promotedWidgets are an instance's, in the order of its widgets_values. */
export function promotedWidgets(doc: Document, node: Node, classes: Classes): Widget[] {
  const def = definitionOf(doc, node.type);
  if (!def) return [];
  const proxies = node.properties?.proxyWidgets;
  if (Array.isArray(proxies)) {
    return proxies.flatMap((p, at) => {
      if (!Array.isArray(p)) return [];
      const [inner, name] = p.map(String);
      const w = inner === "-1" ? linked(doc, def, name, classes) : own(doc, def, inner, name, classes);
      return w ? [here(node, w, inner === "-1" ? name : w.name, at)] : [];
    });
  }
  const list: Widget[] = [];
  for (const input of def.inputs ?? []) {
    const w = linked(doc, def, input.name, classes);
    if (w) list.push(here(node, { ...w, label: String(input.label ?? input.name) }, input.name, list.length));
  }
  return list;
}

function here(node: Node, w: Widget, name: string, at: number): Widget {
  const stored = node.widgets_values;
  const v: Json | undefined = Array.isArray(stored) ? stored[at] : isObj(stored) ? stored[name] : undefined;
  return { ...w, name, at: isObj(stored) ? name : at, value: v ?? w.value };
}

/** linked is the widget that a definition's input leads to. */
function linked(doc: Document, def: Definition, name: string, classes: Classes): Widget | undefined {
  const at = (def.inputs ?? []).findIndex((i) => i.name === name);
  for (const l of linksOf(def).values()) {
    if (Number(l.from) !== Number(def.inputNode?.id ?? inputNode) || l.fromSlot !== at) continue;
    const inner = def.nodes.find((n) => n.id === l.to);
    const slot = inner?.inputs?.find((s) => s.link === l.id);
    const w = inner && slot && own(doc, def, String(inner.id), slot.name, classes);
    if (w) return w;
  }
  return undefined;
}

function own(doc: Document, def: Definition, id: string, name: string, classes: Classes): Widget | undefined {
  const inner = def.nodes.find((n) => String(n.id) === id);
  if (!inner) return undefined;
  const cls = classes.get(inner.type);
  const list = cls ? widgetsOf(cls, inner) : promotedWidgets(doc, inner, classes);
  return list.find((w) => w.name === name);
}
