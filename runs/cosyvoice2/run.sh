#!/usr/bin/env bash
# CosyVoice2 on LibriTTS, with the published stages.
#
#     stage=-1 stop_stage=3 bash runs/cosyvoice2/run.sh    # download, and prepare the corpus
#     stage=5 stop_stage=6 bash runs/cosyvoice2/run.sh     # train, and average
#
# Data and results are written to the working directory. README.md has all settings.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)

source "$here/../cosyvoice_stages.sh"
pretrained_model_dir=${pretrained_model_dir:-pretrained/CosyVoice2-0.5B}
config=${config:-$here/conf/cosyvoice2.yaml}
# New weights if there is no such file and it is set to nothing.
checkpoint=${checkpoint-$pretrained_model_dir/llm.pt}

prepare_stages "${speech_tokenizer:-$pretrained_model_dir/speech_tokenizer_v2.onnx}"
training_stages cosyvoice2 --qwen_pretrain_path "$pretrained_model_dir/CosyVoice-BlankEN"
