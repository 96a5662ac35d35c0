package admin

import (
	_ "embed" // the description
	"net/http"
	"sync"

	"github.com/goccy/go-yaml"
)

// openAPI describes the admin API; a test holds it and the handler together.
//
//go:embed openapi.yaml
var openAPI []byte

// openAPIJSON is what programs read.
var openAPIJSON = sync.OnceValues(func() ([]byte, error) { return yaml.YAMLToJSON(openAPI) })

func serveOpenAPI(c *call) {
	text, err := openAPIJSON()
	if err != nil {
		writeProblem(c.w, problem(http.StatusInternalServerError, "internal", "Internal error", "The description could not be read."))
		return
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, _ = c.w.Write(text)
}
