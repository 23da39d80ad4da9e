// Texts on OmniID's nodes: what became of each photo, similarities, saved paths; and a warning about photos that were
// left out. The nodes send them as `ui.text` and `ui.warning`.

import { app } from "../../scripts/app.js";
import { ComfyWidgets } from "../../scripts/widgets.js";

const NAME = "omniid_text";

function show(node, text) {
  let widget = node.widgets?.find((one) => one.name === NAME);
  if (!widget) {
    widget = ComfyWidgets.STRING(node, NAME, ["STRING", { multiline: true }], app).widget;
    widget.element.readOnly = true;
    // The text is a result: neither workflow files nor prompts hold it.
    widget.options.serialize = false;
    widget.serialize = false;
    widget.serializeValue = async () => undefined;
    const [width, height] = node.computeSize();
    node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
  }
  widget.value = text;
  node.setDirtyCanvas(true, true);
}

function warn(title, text) {
  app.extensionManager?.toast?.add({ severity: "warn", summary: title, detail: text, life: 10000 });
}

app.registerExtension({
  name: "OmniID.Texts",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith("OmniID")) return;
    const before = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (message) {
      before?.apply(this, arguments);
      if (message?.text) show(this, [].concat(message.text).join("\n"));
      if (message?.warning) warn(this.title, [].concat(message.warning).join("\n"));
    };
  },
});
