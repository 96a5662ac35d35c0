package check

import (
	"encoding/json"

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
