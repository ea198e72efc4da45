package main

import "github.com/anishathalye/porcupine"

// The state of any key; what a kind of key does not have stays zero.
type state struct {
	// Whether the object, the lane or the group's position is there.
	exists bool
	// Version, epoch or generation: itself, or the least it can be.
	number int64
	exact  bool
	// Spec or position.
	text string
	// Of a register.
	value int64
}

var model = porcupine.Model{
	Partition: partition,
	Init:      func() interface{} { return state{} },
	Step: func(before, in, out interface{}) (bool, interface{}) {
		after, fits := step(before.(state), in.(input), out.(*output))
		return fits, after
	},
}

func partition(history []porcupine.Operation) [][]porcupine.Operation {
	places := map[string]int{}
	var keys [][]porcupine.Operation
	for _, operation := range history {
		key := operation.Input.(input).key()
		place, known := places[key]
		if !known {
			place = len(keys)
			places[key] = place
			keys = append(keys, nil)
		}
		keys[place] = append(keys[place], operation)
	}
	return keys
}

// The state after the operation, and whether it can have been answered so. Where the outcome is not known, out is nil:
// the operation does what it can. That it was never done is that it comes last.
func step(before state, in input, out *output) (state, bool) {
	if out != nil && out.Error == "refused" {
		return before, true
	}
	switch in.op {
	case "create":
		nothing := int64(0)
		in.IfVersion = &nothing
		return put(before, in, out)
	case "update":
		return put(before, in, out)
	case "delete":
		return remove(before, in, out)
	case "get":
		return get(before, out)
	case "acquireEpoch":
		return acquire(before, out)
	case "commitPosition":
		return commit(before, in, out)
	case "getLane":
		return getLane(before, out)
	case "commitGroupPosition":
		return commitGroup(before, in, out)
	case "getGroupPosition":
		return getGroup(before, out)
	default:
		return register(before, in, out)
	}
}

// The state when its number turns out to be this one, if it can be.
func (s state) is(number int64) (state, bool) {
	if !s.exists || number < s.number || (s.exact && number != s.number) {
		return s, false
	}
	s.number, s.exact = number, true
	return s, true
}

// The state with the object at this version, 0 for no object.
func (s state) at(version int64) (state, bool) {
	if version == 0 {
		return s, !s.exists
	}
	return s.is(version)
}

func put(before state, in input, out *output) (state, bool) {
	if out != nil && out.Error == "conflict" {
		if in.IfVersion == nil || *in.IfVersion == out.Version {
			return before, false
		}
		return before.at(out.Version)
	}
	held := before
	if in.IfVersion != nil {
		fits := false
		if held, fits = before.at(*in.IfVersion); !fits {
			return before, out == nil
		}
	}
	same := held.exists && held.text == in.Spec
	if out == nil {
		if same {
			return before, true
		}
		return state{exists: true, number: held.number + 1, text: in.Spec}, true
	}
	if out.Changed != nil && *out.Changed == same {
		return before, false
	}
	if same {
		return held.is(out.Version)
	}
	return state{exists: true, number: out.Version, exact: true, text: in.Spec}, out.Version > held.number
}

func remove(before state, in input, out *output) (state, bool) {
	if out != nil && out.Error == "notFound" {
		return before, !before.exists
	}
	if out != nil && out.Error == "conflict" {
		if in.IfVersion == nil || *in.IfVersion == out.Version || !before.exists {
			return before, false
		}
		return before.at(out.Version)
	}
	held := before
	if in.IfVersion != nil {
		fits := false
		if held, fits = before.is(*in.IfVersion); !fits {
			return before, out == nil
		}
	}
	if !held.exists {
		return before, out == nil
	}
	return state{number: held.number + 1}, true
}

func get(before state, out *output) (state, bool) {
	switch {
	case out == nil:
		return before, true
	case out.Error == "notFound":
		return before, !before.exists
	case before.text != out.Spec:
		return before, false
	default:
		return before.is(out.Version)
	}
}

func acquire(before state, out *output) (state, bool) {
	if out == nil {
		return state{exists: true, number: before.number + 1, text: before.text}, true
	}
	fits := out.Epoch > before.number && out.Position == before.text
	return state{exists: true, number: out.Epoch, exact: true, text: before.text}, fits
}

func commit(before state, in input, out *output) (state, bool) {
	if out == nil || out.Error == "" {
		after, fits := before.is(in.Epoch)
		fits = fits && in.Position >= before.text
		if out == nil && (!fits || in.Position == before.text) {
			return before, true
		}
		after.text = in.Position
		return after, fits
	}
	if out.Error == "notFound" {
		return before, !before.exists
	}
	after, fits := before.is(out.Epoch)
	fits = fits && out.Position == before.text
	switch out.Error {
	case "fenced":
		return after, fits && in.Epoch < out.Epoch
	case "invalid":
		return after, fits && in.Epoch > out.Epoch
	default:
		return after, fits && in.Epoch == out.Epoch && in.Position < before.text
	}
}

func getLane(before state, out *output) (state, bool) {
	switch {
	case out == nil:
		return before, true
	case out.Error == "notFound":
		return before, !before.exists
	case before.text != out.Position:
		return before, false
	default:
		return before.is(out.Epoch)
	}
}

func commitGroup(before state, in input, out *output) (state, bool) {
	generation := in.Generation
	if out != nil && out.Error == "fenced" {
		if out.Generation == nil {
			return before, true
		}
		generation = *out.Generation
	}
	after := before
	after.number = generation
	fits := generation >= before.number
	behind := before.exists && in.Position < before.text
	if out != nil && out.Error != "" {
		if out.Error == "conflict" {
			fits = fits && behind && out.Position == before.text
		}
		return after, fits
	}
	fits = fits && !behind
	if out == nil && (!fits || (before.exists && in.Position == before.text)) {
		return before, true
	}
	after.exists, after.text = true, in.Position
	return after, fits
}

func getGroup(before state, out *output) (state, bool) {
	switch {
	case out == nil:
		return before, true
	case out.Error == "notFound":
		return before, !before.exists
	default:
		return before, before.exists && before.text == out.Position
	}
}

func register(before state, in input, out *output) (state, bool) {
	after, done := before, false
	switch {
	case in.op == "writeRegister":
		after.value = in.Value
		return after, true
	case in.op == "readRegister":
		return before, out == nil || out.Value == before.value
	}
	if before.value == in.Expected {
		after.value, done = in.Value, true
	}
	return after, out == nil || (out.Done == done && out.Value == after.value)
}
