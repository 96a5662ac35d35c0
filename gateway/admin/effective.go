package admin

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/goccy/go-yaml"
)

func (s *Server) configEndpoints() []endpoint {
	return []endpoint{{http.MethodGet, "/config", s.showConfig}}
}

// showConfig answers GET /config: YAML to who asks for it, JSON to others.
func (s *Server) showConfig(c *call) {
	if !wantsYAML(c.r.Header.Get("Accept")) {
		c.w.Header().Set("Vary", "Accept")
		writeJSON(c.w, http.StatusOK, s.o.Config())
		return
	}
	text, err := AsYAML(s.o.Config())
	if err != nil {
		s.failed(c, err)
		return
	}
	c.w.Header().Set("Vary", "Accept")
	c.w.Header().Set("Content-Type", "application/yaml")
	_, _ = c.w.Write(text)
}

// wantsYAML tells whether YAML is named and JSON is not named before it.
func wantsYAML(accept string) bool {
	accept = strings.ToLower(accept)
	at := strings.Index(accept, "yaml")
	before := strings.Index(accept, "json")
	return at >= 0 && (before < 0 || at < before)
}

// AsYAML writes what v is as JSON, in the same order, as YAML.
func AsYAML(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(text)
}
