// Keyboard shortcuts, ComfyUI's where it has one.
import { useEffect, useRef } from "react";
import { cancel, queuePrompt, refreshNodes } from "../run";
import { clipText, nudge, pasteText, redo, toast, toggleFlag, toggleMode, undo, useEditor } from "../store";
import { save } from "./App";
import { flowHandle, middle, openPalette, showAll } from "./Canvas";
import { groupSelected, packSelected, removeAny, selectAll } from "./Menu";
import type { Tab } from "./Panel";

interface Acts { chooseFile: () => void; toggle: (t: Tab) => void; help: () => void }

const typing = (e: Event) => {
  const t = e.target as HTMLElement;
  return t instanceof HTMLTextAreaElement || (t instanceof HTMLInputElement && !["checkbox", "color", "file"].includes(t.type)) || t.isContentEditable;
};

export function useKeys(acts: Acts) {
  const last = useRef(acts);
  last.current = acts;
  useEffect(() => {
    const mouse = { x: 0, y: 0, seen: false };
    const move = (e: PointerEvent) => Object.assign(mouse, { x: e.clientX, y: e.clientY, seen: true });
    const at = () => (mouse.seen && flowHandle ? flowHandle.flow.screenToFlowPosition(mouse) : middle());
    let shift = false; // the paste event does not tell: Ctrl+Shift+V keeps the links into what was copied
    const down = (e: KeyboardEvent) => { shift = e.shiftKey; if (press(e, last.current, at)) { e.preventDefault(); e.stopPropagation(); } };
    const copy = (e: ClipboardEvent) => {
      if (typing(e) || !useEditor.getState().selected.size || getSelection()?.toString()) return;
      e.clipboardData!.setData("text/plain", clipText());
      e.preventDefault();
      if (e.type === "cut") removeAny();
      else toast("Copied");
    };
    const paste = (e: ClipboardEvent) => {
      if (typing(e) || e.defaultPrevented) return;
      const { x, y } = at();
      if (pasteText(e.clipboardData!.getData("text/plain"), x, y, shift)) e.preventDefault();
    };
    addEventListener("pointermove", move, { passive: true });
    addEventListener("keydown", down, true);
    addEventListener("copy", copy);
    addEventListener("cut", copy);
    addEventListener("paste", paste);
    return () => {
      removeEventListener("pointermove", move);
      removeEventListener("keydown", down, true);
      removeEventListener("copy", copy);
      removeEventListener("cut", copy);
      removeEventListener("paste", paste);
    };
  }, []);
}

function press(e: KeyboardEvent, acts: Acts, at: () => { x: number; y: number }): boolean {
  const ctrl = e.ctrlKey || e.metaKey;
  const k = e.key.toLowerCase();
  if (ctrl && k === "enter") {
    if (document.activeElement instanceof HTMLInputElement) document.activeElement.blur(); // takes what is being typed
    if (e.altKey) cancel();
    else queuePrompt(e.shiftKey);
    return true;
  }
  if (ctrl && k === "s") return save(), true;
  if (ctrl && k === "o") return acts.chooseFile(), true;
  if (useEditor.getState().palette || typing(e)) return false;
  if (ctrl) {
    switch (k) {
      case "z": return (e.shiftKey ? redo() : undo()), true;
      case "y": return redo(), true;
      case "a": return selectAll(), true;
      case "m": return toggleMode(2), true;
      case "b": return toggleMode(4), true;
      case "g": return groupSelected(), true;
      case "e": return e.shiftKey && (packSelected(), true);
    }
    return false;
  }
  if (e.altKey) return k === "c" ? (toggleFlag("collapsed"), true) : false;
  const inside = (document.activeElement?.closest(".canvas") || document.activeElement === document.body) && !document.activeElement?.closest("button, [role=spinbutton], .socket");
  const step = e.shiftKey ? 100 : 10;
  switch (k) {
    case "arrowleft": return !!inside && nudge(-step, 0);
    case "arrowright": return !!inside && nudge(step, 0);
    case "arrowup": return !!inside && nudge(0, -step);
    case "arrowdown": return !!inside && nudge(0, step);
    case "delete":
    case "backspace": return removeAny();
    case "a": { const p = at(); openPalette(innerWidth / 2 - 200, 90, p); return true; }
    case "p": return toggleFlag("pinned"), true;
    case "q": return acts.toggle("queue"), true;
    case "h": return acts.toggle("history"), true;
    case "m": return acts.toggle("machine"), true;
    case "r": refreshNodes().then(() => toast("The nodes and their lists are read again")); return true;
    case ".": showAll(); return true;
    case "?": return acts.help(), true;
  }
  return false;
}
