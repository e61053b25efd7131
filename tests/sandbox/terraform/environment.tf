# The kinds of an environment for AI work besides its network, for Terraform's AWS provider.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" { type = string }
variable "account" { type = string }

provider "aws" {
  region                  = "us-east-1"
  access_key              = var.account
  secret_key              = "any"
  skip_metadata_api_check = true
  s3_use_path_style       = true
  max_retries             = 1
  endpoints {
    bedrock        = var.endpoint
    budgets        = var.endpoint
    cloudtrail     = var.endpoint
    cloudwatchlogs = var.endpoint
    ec2            = var.endpoint
    iam            = var.endpoint
    kms            = var.endpoint
    s3             = var.endpoint
    sagemaker      = var.endpoint
    secretsmanager = var.endpoint
    sts            = var.endpoint
  }
  default_tags {
    tags = { owner = "ml-platform@example.com" }
  }
}

data "aws_iam_policy_document" "key" {
  statement {
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${var.account}:root"]
    }
  }
  statement {
    actions   = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.us-east-1.amazonaws.com", "cloudtrail.amazonaws.com", "bedrock.amazonaws.com"]
    }
  }
}

resource "aws_kms_key" "data" {
  description             = "Data and logs"
  enable_key_rotation     = true
  rotation_period_in_days = 180
  deletion_window_in_days = 7
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "data" {
  name          = "alias/data"
  target_key_id = aws_kms_key.data.key_id
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["sagemaker.amazonaws.com", "bedrock.amazonaws.com", "ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "worker" {
  name                 = "worker"
  path                 = "/ml/"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = 7200
}

resource "aws_iam_role_policy" "logs" {
  role = aws_iam_role.worker.name
  name = "logs"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = "*" }]
  })
}

resource "aws_iam_policy" "data" {
  name = "data"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "${aws_s3_bucket.logs.arn}/*" }]
  })
}

resource "aws_iam_role_policy_attachment" "data" {
  role       = aws_iam_role.worker.name
  policy_arn = aws_iam_policy.data.arn
}

resource "aws_iam_instance_profile" "worker" {
  name = "worker"
  role = aws_iam_role.worker.name
}

resource "aws_s3_bucket" "logs" {
  bucket        = "logs-of-${var.account}"
  force_destroy = true
}

resource "aws_s3_bucket_versioning" "logs" {
  bucket = aws_s3_bucket.logs.id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "logs" {
  bucket = aws_s3_bucket.logs.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.data.arn
    }
    bucket_key_enabled = true
  }
}

resource "aws_s3_bucket_public_access_block" "logs" {
  bucket                  = aws_s3_bucket.logs.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

data "aws_iam_policy_document" "bucket" {
  statement {
    actions   = ["s3:GetBucketAcl"]
    resources = [aws_s3_bucket.logs.arn]
    principals {
      type        = "Service"
      identifiers = ["cloudtrail.amazonaws.com"]
    }
  }
  statement {
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.logs.arn}/*"]
    principals {
      type        = "Service"
      identifiers = ["cloudtrail.amazonaws.com", "bedrock.amazonaws.com"]
    }
  }
}

resource "aws_s3_bucket_policy" "logs" {
  bucket     = aws_s3_bucket.logs.id
  policy     = data.aws_iam_policy_document.bucket.json
  depends_on = [aws_s3_bucket_public_access_block.logs]
}

resource "aws_s3_bucket_notification" "logs" {
  bucket      = aws_s3_bucket.logs.id
  eventbridge = true
}

resource "aws_cloudwatch_log_group" "bedrock" {
  name              = "/ml/bedrock"
  retention_in_days = 365
  kms_key_id        = aws_kms_key.data.arn
}

resource "aws_cloudtrail" "main" {
  name                       = "main"
  s3_bucket_name             = aws_s3_bucket.logs.id
  kms_key_id                 = aws_kms_key.data.arn
  is_multi_region_trail      = true
  enable_log_file_validation = true
  depends_on                 = [aws_s3_bucket_policy.logs]
}

resource "aws_secretsmanager_secret" "token" {
  name                    = "ml/token"
  kms_key_id              = aws_kms_key.data.arn
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "token" {
  secret_id     = aws_secretsmanager_secret.token.id
  secret_string = "only of this test"
}

resource "aws_bedrock_guardrail" "main" {
  name                      = "main"
  description               = "Blocks hate, hides addresses" # the provider fails without one
  blocked_input_messaging   = "no"
  blocked_outputs_messaging = "no"
  kms_key_arn               = aws_kms_key.data.arn
  content_policy_config {
    filters_config {
      type            = "HATE"
      input_strength  = "HIGH"
      output_strength = "HIGH"
    }
  }
  sensitive_information_policy_config {
    pii_entities_config {
      type   = "EMAIL"
      action = "ANONYMIZE"
    }
  }
}

resource "aws_bedrock_guardrail_version" "main" {
  description   = "The first"
  guardrail_arn = aws_bedrock_guardrail.main.guardrail_arn
}

resource "aws_bedrock_model_invocation_logging_configuration" "main" {
  logging_config {
    embedding_data_delivery_enabled = true
    image_data_delivery_enabled     = true
    text_data_delivery_enabled      = true
    video_data_delivery_enabled     = true
    cloudwatch_config {
      log_group_name = aws_cloudwatch_log_group.bedrock.name
      role_arn       = aws_iam_role.worker.arn
    }
    s3_config {
      bucket_name = aws_s3_bucket.logs.id
      key_prefix  = "bedrock"
    }
  }
  depends_on = [aws_iam_role_policy.logs, aws_s3_bucket_policy.logs]
}

resource "aws_placement_group" "nodes" {
  name     = "nodes"
  strategy = "cluster"
}

resource "aws_launch_template" "node" {
  name          = "node"
  instance_type = "p5.48xlarge"
  iam_instance_profile { name = aws_iam_instance_profile.worker.name }
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }
  placement { group_name = aws_placement_group.nodes.name }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size = 200
      volume_type = "gp3"
      encrypted   = true
      kms_key_id  = aws_kms_key.data.arn
    }
  }
}

resource "aws_sagemaker_model" "assistant" {
  name               = "assistant"
  execution_role_arn = aws_iam_role.worker.arn
  primary_container {
    image          = "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.33.0"
    model_data_url = "s3://${aws_s3_bucket.logs.id}/model.tar.gz"
  }
}

resource "aws_sagemaker_endpoint_configuration" "assistant" {
  name        = "assistant"
  kms_key_arn = aws_kms_key.data.arn
  production_variants {
    variant_name           = "all"
    model_name             = aws_sagemaker_model.assistant.name
    instance_type          = "ml.m5.xlarge"
    initial_instance_count = 1
  }
}

resource "aws_sagemaker_endpoint" "assistant" {
  name                 = "assistant"
  endpoint_config_name = aws_sagemaker_endpoint_configuration.assistant.name
}

resource "aws_budgets_budget" "month" {
  name         = "month"
  budget_type  = "COST"
  limit_amount = "20000.0"
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  notification {
    comparison_operator        = "GREATER_THAN"
    threshold                  = 80
    threshold_type             = "PERCENTAGE"
    notification_type          = "FORECASTED"
    subscriber_email_addresses = ["ml-platform@example.com"]
  }
}
