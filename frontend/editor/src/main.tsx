import { createRoot } from "react-dom/client";
import "@xyflow/react/dist/base.css";
import "./style.css";
import { App } from "./ui/App";
import { start } from "./run";
import { useEditor } from "./store";

document.documentElement.dataset.theme = useEditor.getState().theme;
createRoot(document.getElementById("root")!).render(<App />);
start();
