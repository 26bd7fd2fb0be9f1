import { createRoot } from "react-dom/client";
import "@xyflow/react/dist/base.css";
import "./style.css";
import { App } from "./ui/App";
import { start } from "./run";

document.documentElement.dataset.theme =
  localStorage.getItem("graphrun.theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
createRoot(document.getElementById("root")!).render(<App />);
start();
