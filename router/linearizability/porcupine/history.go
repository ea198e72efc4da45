package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"

	"github.com/anishathalye/porcupine"
)

// The longest line of a history.
const maxLineBytes = 64 * 1024

type line struct {
	Client   int     `json:"client"`
	ID       int64   `json:"id"`
	CallNs   int64   `json:"callNs"`
	ReturnNs *int64  `json:"returnNs"`
	Op       string  `json:"op"`
	In       input   `json:"in"`
	Out      *output `json:"out"`
}

// What was asked, whatever the operation.
type input struct {
	op         string
	Name       string `json:"name"`
	Spec       string `json:"spec"`
	IfVersion  *int64 `json:"ifVersion"`
	Lane       string `json:"lane"`
	Epoch      int64  `json:"epoch"`
	Position   string `json:"position"`
	Partition  string `json:"partition"`
	Generation int64  `json:"generation"`
	Register   int64  `json:"register"`
	Expected   int64  `json:"expected"`
	Value      int64  `json:"value"`
}

// What was told, whatever the operation.
type output struct {
	Error      string `json:"error"`
	Version    int64  `json:"version"`
	Changed    *bool  `json:"changed"`
	Spec       string `json:"spec"`
	Epoch      int64  `json:"epoch"`
	Position   string `json:"position"`
	Generation *int64 `json:"generation"`
	Done       bool   `json:"done"`
	Value      int64  `json:"value"`
	Revision   int64  `json:"revision"`
}

// Reads the operations of a file, without stale reads: those are no part of linearizability.
func readHistory(file string) ([]porcupine.Operation, error) {
	handle, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	lines := bufio.NewScanner(handle)
	lines.Buffer(nil, maxLineBytes)
	var history []porcupine.Operation
	for number := 1; lines.Scan(); number++ {
		operation := line{}
		if err := json.Unmarshal(lines.Bytes(), &operation); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, number, err)
		}
		if operation.Op == "getStale" {
			continue
		}
		operation.In.op = operation.Op
		if operation.In.key() == "" {
			return nil, fmt.Errorf("%s:%d: %s is not known", file, number, operation.Op)
		}
		end := int64(math.MaxInt64)
		if operation.ReturnNs != nil {
			end = *operation.ReturnNs
		}
		history = append(history, porcupine.Operation{
			ClientId: operation.Client,
			Input:    operation.In,
			Call:     operation.CallNs,
			Output:   operation.Out,
			Return:   end,
		})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return history, nil
}

// What the operation is about.
func (in input) key() string {
	switch in.op {
	case "create", "update", "delete", "get":
		return "object " + in.Name
	case "acquireEpoch", "commitPosition", "getLane":
		return "lane " + in.Lane
	case "commitGroupPosition", "getGroupPosition":
		return "group position " + in.Partition
	case "writeRegister", "swapRegister", "readRegister":
		return fmt.Sprintf("register %d", in.Register)
	default:
		return ""
	}
}
