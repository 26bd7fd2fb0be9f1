package graph

import (
	"fmt"
	"slices"
	"strings"

	"graphrun/graph/python"
)

// NodeErrors is ComfyUI's node_errors object: by node its errors, the outputs that need it, and its class.
func (v *ValidationError) NodeErrors() map[string]any {
	all := map[string]any{}
	if v == nil {
		return all
	}
	for _, n := range v.Nodes {
		errs := []map[string]any{}
		for _, e := range n.Errors {
			errs = append(errs, e.comfyAll()...)
		}
		all[n.ID] = map[string]any{"errors": errs, "dependent_outputs": n.Outputs, "class_type": n.Class}
	}
	return all
}

// Response is the body of ComfyUI's answer 400 to a prompt of which nothing can run: error and node_errors.
func (v *ValidationError) Response() map[string]any {
	e := map[string]any{
		"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation",
		"details": "", "extra_info": map[string]any{},
	}
	for _, w := range v.Whole {
		switch {
		case w.Kind == KindNoPrompt:
			e["type"], e["message"], e["details"] = w.Kind, "No prompt provided", "No prompt provided"
		case w.Kind == KindNoOutputs:
			e["type"], e["message"] = w.Kind, "Prompt has no outputs"
		case w.Kind == KindInvalidPrompt && w.Class == "":
			e["type"], e["message"] = w.Kind, "Cannot execute because a node is missing the class_type property."
			e["details"] = fmt.Sprintf("Node ID '#%s'", w.Node)
		case w.Kind == KindInvalidPrompt:
			e["type"], e["message"] = w.Kind, fmt.Sprintf("Cannot execute because node %s does not exist.", w.Class)
			e["details"] = fmt.Sprintf("Node ID '#%s'", w.Node)
		default:
			continue
		}
		break
	}
	var details []string
	for _, n := range v.Nodes {
		for _, err := range n.Errors {
			if slices.Contains(n.Outputs, n.ID) { // an output's own errors
				for _, c := range err.comfyAll() {
					details = append(details, fmt.Sprintf("%s: %s", c["message"], c["details"]))
				}
			}
		}
	}
	if len(details) > 0 {
		e["details"] = strings.Join(details, "\n")
	}
	return map[string]any{"error": e, "node_errors": v.NodeErrors()}
}

// comfyAll are the entries of a node's errors: one, or one for each input that the node's own check was given.
func (e *Error) comfyAll() (all []map[string]any) {
	for _, name := range e.given {
		one := *e
		one.Input = name
		all = append(all, one.comfy())
	}
	if len(e.given) == 0 {
		all = append(all, e.comfy())
	}
	return all
}

// comfy is one entry of a node's errors in node_errors.
func (e *Error) comfy() map[string]any {
	info := map[string]any{}
	port := e.port
	if port == nil { // an error of the node's own check may speak of anything
		port = &Port{Name: e.Input}
	}
	message, details := kinds[e.Kind], e.Input
	if e.Input != "" {
		info["input_name"] = e.Input
	}
	received := func() {
		info["input_config"], info["received_value"] = port.config(nil), e.value
	}
	if e.raised.Class != "" {
		return e.exception()
	}
	switch e.Kind {
	case KindMissing:
		message, details = "Required input is missing", local(e.Input)
	case KindBadLink:
		message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
		received()
	case KindTypeMismatch:
		message = "Return type mismatch between linked nodes"
		declared := port.config(nil)
		details = fmt.Sprintf("%s, received_type(%s) mismatch input_type(%s)", e.Input, e.received, python.Str(declared[0]))
		info["input_config"], info["received_type"], info["linked_node"] = declared, e.received, e.value
	case KindBadValue:
		message = fmt.Sprintf("Failed to convert an input value to a %s value", port.Type)
		reason := conversionError(port.Type, e.value)
		if reason == "" {
			reason = "need " + e.Need
		}
		details = fmt.Sprintf("%s, %s, %s", e.Input, python.Str(e.value), reason)
		received()
		info["exception_message"] = reason
	case KindTooSmall:
		message = fmt.Sprintf("Value %s smaller than min of %s", python.Str(e.value), python.Str(port.Opts["min"]))
		received()
	case KindTooBig:
		message = fmt.Sprintf("Value %s bigger than max of %s", python.Str(e.value), python.Str(port.Opts["max"]))
		received()
	case KindNotInList:
		message = "Value not in list"
		received()
		known := fmt.Sprintf("(list of length %d)", len(e.choices))
		if len(e.choices) <= 20 {
			known = python.Repr(e.choices)
		} else {
			info["input_config"] = nil
		}
		details = fmt.Sprintf("%s: '%s' not in %s", e.Input, python.Str(e.value), known)
	case KindCustom:
		message = "Custom validation failed for node"
		details = e.Input
		if e.Err != nil {
			details += " - " + e.Err.Error()
		}
	default:
		details = e.Error()
	}
	return map[string]any{"type": e.Kind, "message": message, "details": details, "extra_info": info}
}

// exception is an entry for what ComfyUI's code trips over, in the node or on the way to it.
func (e *Error) exception() map[string]any {
	info := map[string]any{"exception_type": e.raised.Class, "traceback": []string{e.Error()}}
	if e.inner == nil {
		return map[string]any{"type": KindLinkNowhere, "message": "Exception when validating node", "details": e.raised.Text, "extra_info": info}
	}
	info["input_name"], info["input_config"], info["linked_node"] = e.inner.Input, e.inner.port.config(nil), e.inner.value
	info["exception_message"] = e.raised.Text
	return map[string]any{
		"type": "exception_during_inner_validation", "message": "Exception when validating inner node", "details": e.raised.Text, "extra_info": info,
	}
}

// conversionError is what int() or float() say of the value; "" if they take it.
func conversionError(typ string, v any) string {
	var err error
	text, isText := v.(string)
	switch {
	case typ == "INT" && isText:
		_, err = python.Int(text)
	case typ == "FLOAT" && isText:
		_, err = python.ParseFloat(text)
	case typ == "INT" && python.Type(v) != "float":
		return fmt.Sprintf("int() argument must be a string, a bytes-like object or a real number, not '%s'", python.Type(v))
	case typ == "FLOAT" && python.Type(v) != "float":
		return fmt.Sprintf("float() argument must be a string or a real number, not '%s'", python.Type(v))
	}
	if e, ok := err.(*python.Error); ok {
		return e.Text
	}
	return ""
}
