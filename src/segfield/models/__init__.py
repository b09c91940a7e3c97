"""Networks from images [N, C, H, W] to logits [N, K, H, W]; one class per file, torch only (resnet_unet: and smp)."""
