package check

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	autoscaling "k8s.io/api/autoscaling/v2"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// scaledObject is the part of KEDA's ScaledObject (keda.sh/v1alpha1) that the chart may
// use, after https://keda.sh/docs/latest/reference/scaledobject-spec/. KEDA's own types
// come with its whole operator: hundreds of modules.
type scaledObject struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata,omitempty"`
	Spec            scaledObjectSpec `json:"spec"`
}

type scaledObjectSpec struct {
	ScaleTargetRef struct {
		APIVersion string `json:"apiVersion,omitempty"`
		Kind       string `json:"kind,omitempty"` // Deployment by default
		Name       string `json:"name"`
	} `json:"scaleTargetRef"`
	PollingInterval *int32 `json:"pollingInterval,omitempty"`
	CooldownPeriod  *int32 `json:"cooldownPeriod,omitempty"`
	MinReplicaCount *int32 `json:"minReplicaCount,omitempty"`
	MaxReplicaCount *int32 `json:"maxReplicaCount,omitempty"`
	Fallback        *struct {
		FailureThreshold int32  `json:"failureThreshold"`
		Replicas         int32  `json:"replicas"`
		Behavior         string `json:"behavior,omitempty"`
	} `json:"fallback,omitempty"`
	Advanced *struct {
		RestoreToOriginalReplicaCount bool `json:"restoreToOriginalReplicaCount,omitempty"`
		HorizontalPodAutoscalerConfig *struct {
			Name     string                                       `json:"name,omitempty"`
			Behavior *autoscaling.HorizontalPodAutoscalerBehavior `json:"behavior,omitempty"`
		} `json:"horizontalPodAutoscalerConfig,omitempty"`
	} `json:"advanced,omitempty"`
	Triggers []struct {
		Type              string                       `json:"type"`
		Name              string                       `json:"name,omitempty"`
		UseCachedMetrics  bool                         `json:"useCachedMetrics,omitempty"`
		MetricType        autoscaling.MetricTargetType `json:"metricType,omitempty"`
		Metadata          prometheusTrigger            `json:"metadata"`
		AuthenticationRef *struct {
			Name string `json:"name"`
			Kind string `json:"kind,omitempty"`
		} `json:"authenticationRef,omitempty"`
	} `json:"triggers"`
}

// prometheusTrigger is the metadata of a trigger of the type prometheus: strings all of
// them, after https://keda.sh/docs/latest/scalers/prometheus/.
type prometheusTrigger struct {
	ServerAddress       string `json:"serverAddress"`
	Query               string `json:"query"`
	Threshold           string `json:"threshold"`
	ActivationThreshold string `json:"activationThreshold,omitempty"`
	Namespace           string `json:"namespace,omitempty"`
	CustomHeaders       string `json:"customHeaders,omitempty"`
	IgnoreNullValues    string `json:"ignoreNullValues,omitempty"`
	UnsafeSsl           string `json:"unsafeSsl,omitempty"`
	AuthModes           string `json:"authModes,omitempty"`
	Timeout             string `json:"timeout,omitempty"`
}

// DeepCopyObject implements runtime.Object.
func (o *scaledObject) DeepCopyObject() runtime.Object {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // it was read from JSON
	}
	out := new(scaledObject)
	if err := json.Unmarshal(text, out); err != nil {
		panic(err)
	}
	return out
}

func addKeda(scheme *runtime.Scheme) error {
	scheme.AddKnownTypeWithName(schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"}, new(scaledObject))
	return nil
}

// TestKedaAsksForWhatWorkersCanHelp has promtool ask the query of a fleet: the oldest of what is delivered, 0
// where all is held back, and nothing while nothing is known. scripts/helm-check.sh sets PROMTOOL.
func TestKedaAsksForWhatWorkersCanHelp(t *testing.T) {
	promtool := os.Getenv("PROMTOOL")
	if promtool == "" {
		t.Skip("PROMTOOL is not set: scripts/helm-check.sh runs this")
	}
	m := render(t, "--values", sets(t)["minimal"], "--set", "worker.keda.enabled=true")
	query := named[*scaledObject](t, m, release+"-worker").Spec.Triggers[0].Metadata.Query
	const of = `{job="` + namespace + "/" + release + `",instance="a",target=`
	test := fmt.Sprintf(`
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'headgate_oldest_pending_age_seconds%[1]s"probed"}', values: '900x5 stale'}
      - {series: 'headgate_breaker_state%[1]s"probed"}', values: '2 1 0x10'}
      - {series: 'headgate_oldest_pending_age_seconds%[1]s"paused"}', values: '7x5 stale'}
      - {series: 'headgate_target_paused%[1]s"paused"}', values: '0 1x10'}
    promql_expr_test:
      - {expr: &query '%[2]s', eval_time: 0m, exp_samples: [{labels: '{}', value: 7}]}
      - {expr: *query, eval_time: 1m, exp_samples: [{labels: '{}', value: 0}]}
      - {expr: *query, eval_time: 3m, exp_samples: [{labels: '{}', value: 900}]}
      - {expr: *query, eval_time: 7m, exp_samples: []}
`, of, query)
	file := filepath.Join(t.TempDir(), "test.yaml")
	must(t, os.WriteFile(file, []byte(test), 0o600))
	if out, err := exec.Command(promtool, "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, query, out)
	}
}
