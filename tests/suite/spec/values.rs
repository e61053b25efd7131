//! What a valid spec yields.

use serde_json::json;

use super::{drawn, load_body};

#[test]
fn a_sample() {
    let loaded = load_body(
        r#"
tags: { owner: ml@example.com }
inputs:
  zones: { type: list, default: [us-east-1a, us-east-1b] }
resources:
  vpc:
    main: { cidr: 10.40.0.0/16 }
  subnet:
    private:
      for_each: $(inputs.zones)
      vpc: $(vpc.main.id)
      zone: $(each.value)
      cidr: $(vpc.main.cidr | subnet(prefix=20, index=each.index))
  iam_role:
    trainer: { name: trainer-$(environment), policies: [$(kms_key.data.arn), a] }
  kms_key:
    data:
      alias: alias/$(environment)-data
      description: 'key $(vpc.main.id | upper) in $(region)'
outputs:
  key: $(kms_key.data.arn)
  role: $(iam_role.trainer.arn)
"#,
    );
    assert_eq!(drawn(&loaded), "");
    let environment = loaded.environment.unwrap();
    assert_eq!(environment.outputs["role"], json!("arn:aws:iam::123456789012:role/trainer-test"));
}
