// Package rawlines encodes a batch of log records as their bodies, one a line, so that the collector's file
// exporter writes the lines that its file receiver read. The exporter itself ends each batch with a newline.
package rawlines

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/pdata/plog"
)

type encoding struct {
	component.StartFunc
	component.ShutdownFunc
}

// MarshalLogs joins the bodies by newlines.
func (encoding) MarshalLogs(logs plog.Logs) ([]byte, error) {
	lines := make([]byte, 0, 256*logs.LogRecordCount())
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				if len(lines) > 0 {
					lines = append(lines, '\n')
				}
				lines = append(lines, record.Body().AsString()...)
			}
		}
	}
	return lines, nil
}

// NewFactory makes the extension `rawlines`, which takes no settings.
func NewFactory() extension.Factory {
	return extension.NewFactory(
		component.MustNewType("rawlines"),
		func() component.Config { return &struct{}{} },
		func(context.Context, extension.Settings, component.Config) (extension.Extension, error) {
			return encoding{}, nil
		},
		component.StabilityLevelDevelopment,
	)
}
